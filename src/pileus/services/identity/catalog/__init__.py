"""The service catalog: regions, services, their endpoints, and what tokens show of them."""
