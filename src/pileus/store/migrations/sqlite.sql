-- Written by python -m pileus.store.migrations --snapshot.
CREATE TABLE "access_rules" (
	id VARCHAR(36) NOT NULL, 
	user_id VARCHAR(64) NOT NULL, 
	service VARCHAR(64) NOT NULL, 
	method VARCHAR(8) NOT NULL, 
	path VARCHAR(255) NOT NULL, 
	CONSTRAINT fk_access_rules_user_id FOREIGN KEY(user_id) REFERENCES users (id) ON DELETE CASCADE, 
	CONSTRAINT pk_access_rules PRIMARY KEY (id), 
	CONSTRAINT uq_access_rules_user_id_service_method_path UNIQUE (user_id, service, method, path)
);
CREATE TABLE address_group_addresses (
	address_group_id VARCHAR(36) NOT NULL, 
	address VARCHAR(64) NOT NULL, 
	CONSTRAINT fk_address_group_addresses_address_group_id FOREIGN KEY(address_group_id) REFERENCES address_groups (id) ON DELETE CASCADE, 
	CONSTRAINT pk_address_group_addresses PRIMARY KEY (address_group_id, address)
);
CREATE TABLE address_groups (
	id VARCHAR(36) NOT NULL, 
	project_id VARCHAR(36) NOT NULL, 
	name VARCHAR(255) NOT NULL, 
	description VARCHAR(255) NOT NULL, 
	revision_number INTEGER NOT NULL, 
	created_at DATETIME NOT NULL, 
	updated_at DATETIME NOT NULL, 
	CONSTRAINT pk_address_groups PRIMARY KEY (id)
);
CREATE TABLE address_scopes (
	id VARCHAR(36) NOT NULL, 
	project_id VARCHAR(36) NOT NULL, 
	name VARCHAR(255) NOT NULL, 
	ip_version INTEGER NOT NULL, 
	shared BOOLEAN NOT NULL, 
	CONSTRAINT pk_address_scopes PRIMARY KEY (id)
);
CREATE TABLE agents (
	id VARCHAR(36) NOT NULL, 
	agent_type VARCHAR(64) NOT NULL, 
	host VARCHAR(255) NOT NULL, 
	binary VARCHAR(255) NOT NULL, 
	topic VARCHAR(255) NOT NULL, 
	admin_state_up BOOLEAN NOT NULL, 
	description VARCHAR(255), 
	availability_zone VARCHAR(255), 
	resources_synced BOOLEAN, 
	configurations TEXT NOT NULL, 
	tunneling_ip VARCHAR(64), 
	tunnel_types TEXT NOT NULL, 
	started_at DATETIME NOT NULL, 
	created_at DATETIME NOT NULL, 
	heartbeat_timestamp DATETIME NOT NULL, 
	CONSTRAINT pk_agents PRIMARY KEY (id), 
	CONSTRAINT uq_agents_host_agent_type UNIQUE (host, agent_type)
);
CREATE TABLE aggregate_hosts (
	aggregate BIGINT NOT NULL, 
	host VARCHAR(255) NOT NULL, 
	CONSTRAINT fk_aggregate_hosts_aggregate FOREIGN KEY(aggregate) REFERENCES aggregates (number) ON DELETE CASCADE, 
	CONSTRAINT pk_aggregate_hosts PRIMARY KEY (aggregate, host)
);
CREATE TABLE aggregates (
	number INTEGER NOT NULL, 
	id VARCHAR(36) NOT NULL, 
	name VARCHAR(255) NOT NULL, 
	metadata TEXT NOT NULL, 
	created_at DATETIME NOT NULL, 
	updated_at DATETIME, 
	CONSTRAINT pk_aggregates PRIMARY KEY (number), 
	CONSTRAINT uq_aggregates_id UNIQUE (id), 
	CONSTRAINT uq_aggregates_name UNIQUE (name)
);
CREATE TABLE allocations (
	server_id VARCHAR(36) NOT NULL, 
	host VARCHAR(255) NOT NULL, 
	project_id VARCHAR(36) NOT NULL, 
	vcpus INTEGER NOT NULL, 
	memory_mib INTEGER NOT NULL, 
	disk_gib INTEGER NOT NULL, resources TEXT, 
	CONSTRAINT fk_allocations_server_id FOREIGN KEY(server_id) REFERENCES servers (id) ON DELETE CASCADE, 
	CONSTRAINT pk_allocations PRIMARY KEY (server_id)
);
CREATE TABLE application_credential_access_rules (
	application_credential_id VARCHAR(36) NOT NULL, 
	access_rule_id VARCHAR(36) NOT NULL, 
	CONSTRAINT fk_application_credential_access_rules_access_rule_id FOREIGN KEY(access_rule_id) REFERENCES access_rules (id), 
	CONSTRAINT fk_application_credential_access_rules_application_credential_id FOREIGN KEY(application_credential_id) REFERENCES application_credentials (id) ON DELETE CASCADE, 
	CONSTRAINT pk_application_credential_access_rules PRIMARY KEY (application_credential_id, access_rule_id)
);
CREATE TABLE application_credential_roles (
	application_credential_id VARCHAR(36) NOT NULL, 
	role_id VARCHAR(36) NOT NULL, 
	CONSTRAINT fk_application_credential_roles_application_credential_id FOREIGN KEY(application_credential_id) REFERENCES application_credentials (id) ON DELETE CASCADE, 
	CONSTRAINT fk_application_credential_roles_role_id FOREIGN KEY(role_id) REFERENCES roles (id) ON DELETE CASCADE, 
	CONSTRAINT pk_application_credential_roles PRIMARY KEY (application_credential_id, role_id)
);
CREATE TABLE "application_credentials" (
	id VARCHAR(36) NOT NULL, 
	user_id VARCHAR(64) NOT NULL, 
	project_id VARCHAR(36) NOT NULL, 
	name VARCHAR(255) NOT NULL, 
	description TEXT, 
	secret_hash TEXT NOT NULL, 
	expires_at DATETIME, 
	unrestricted BOOLEAN NOT NULL, 
	CONSTRAINT fk_application_credentials_project_id FOREIGN KEY(project_id) REFERENCES projects (id) ON DELETE CASCADE, 
	CONSTRAINT fk_application_credentials_user_id FOREIGN KEY(user_id) REFERENCES users (id) ON DELETE CASCADE, 
	CONSTRAINT pk_application_credentials PRIMARY KEY (id), 
	CONSTRAINT uq_application_credentials_user_id_name UNIQUE (user_id, name)
);
CREATE TABLE audit_cursor (
	id INTEGER NOT NULL, 
	position BIGINT NOT NULL, 
	CONSTRAINT pk_audit_cursor PRIMARY KEY (id)
);
CREATE TABLE audit_log (
	id VARCHAR(32) NOT NULL, 
	event_time DATETIME NOT NULL, 
	event_type VARCHAR(128) NOT NULL, 
	action VARCHAR(128) NOT NULL, 
	outcome VARCHAR(8) NOT NULL, 
	initiator_id VARCHAR(64), 
	initiator_name VARCHAR(255), 
	project_id VARCHAR(64), 
	address VARCHAR(64), 
	agent VARCHAR(255), 
	target_type VARCHAR(64) NOT NULL, 
	target_id VARCHAR(255), 
	request_id VARCHAR(64), 
	reason TEXT, 
	details TEXT, 
	CONSTRAINT pk_audit_log PRIMARY KEY (id)
);
CREATE TABLE auto_allocated_topologies (
	project_id VARCHAR(36) NOT NULL, 
	network_id VARCHAR(36) NOT NULL, 
	router_id VARCHAR(36) NOT NULL, 
	CONSTRAINT fk_auto_allocated_topologies_network_id FOREIGN KEY(network_id) REFERENCES networks (id) ON DELETE CASCADE, 
	CONSTRAINT fk_auto_allocated_topologies_router_id FOREIGN KEY(router_id) REFERENCES routers (id) ON DELETE CASCADE, 
	CONSTRAINT pk_auto_allocated_topologies PRIMARY KEY (project_id)
);
CREATE TABLE compute_nodes (
	number INTEGER NOT NULL, 
	id VARCHAR(36) NOT NULL, 
	host VARCHAR(255) NOT NULL, 
	hypervisor_hostname VARCHAR(255) NOT NULL, 
	hypervisor_type VARCHAR(64) NOT NULL, 
	hypervisor_version BIGINT NOT NULL, 
	vcpus INTEGER NOT NULL, 
	memory_mib INTEGER NOT NULL, 
	disk_gib INTEGER NOT NULL, 
	memory_used_mib INTEGER NOT NULL, 
	disk_free_gib INTEGER NOT NULL, 
	cpu_info TEXT NOT NULL, 
	virtualisation VARCHAR(32) NOT NULL, 
	availability_zone VARCHAR(255) NOT NULL, 
	booted_at VARCHAR(255) NOT NULL, 
	updated_at DATETIME NOT NULL, certificate TEXT, 
	CONSTRAINT pk_compute_nodes PRIMARY KEY (number), 
	CONSTRAINT uq_compute_nodes_host UNIQUE (host), 
	CONSTRAINT uq_compute_nodes_id UNIQUE (id)
);
CREATE TABLE compute_services (
	number INTEGER NOT NULL, 
	id VARCHAR(36) NOT NULL, 
	host VARCHAR(255) NOT NULL, 
	binary VARCHAR(64) NOT NULL, 
	disabled BOOLEAN NOT NULL, 
	disabled_reason VARCHAR(255), 
	forced_down BOOLEAN NOT NULL, 
	reported_at DATETIME NOT NULL, 
	created_at DATETIME NOT NULL, 
	CONSTRAINT pk_compute_services PRIMARY KEY (number), 
	CONSTRAINT uq_compute_services_host_binary UNIQUE (host, binary), 
	CONSTRAINT uq_compute_services_id UNIQUE (id)
);
CREATE TABLE conntrack_helpers (
	id VARCHAR(36) NOT NULL, 
	router_id VARCHAR(36) NOT NULL, 
	protocol VARCHAR(8) NOT NULL, 
	port INTEGER NOT NULL, 
	helper VARCHAR(64) NOT NULL, 
	CONSTRAINT fk_conntrack_helpers_router_id FOREIGN KEY(router_id) REFERENCES routers (id) ON DELETE CASCADE, 
	CONSTRAINT pk_conntrack_helpers PRIMARY KEY (id), 
	CONSTRAINT uq_conntrack_helpers_router_id UNIQUE (router_id, protocol, port, helper)
);
CREATE TABLE console_tokens (
	hash VARCHAR(64) NOT NULL, 
	server_id VARCHAR(36) NOT NULL, 
	type VARCHAR(16) NOT NULL, 
	user_id VARCHAR(64), 
	ends_at DATETIME NOT NULL, 
	CONSTRAINT fk_console_tokens_server_id FOREIGN KEY(server_id) REFERENCES servers (id) ON DELETE CASCADE, 
	CONSTRAINT pk_console_tokens PRIMARY KEY (hash)
);
CREATE TABLE credentials (
	id VARCHAR(64) NOT NULL, 
	user_id VARCHAR(64) NOT NULL, 
	project_id VARCHAR(64), 
	type VARCHAR(255) NOT NULL, 
	sealed TEXT NOT NULL, 
	extra TEXT, used_step BIGINT, 
	CONSTRAINT pk_credentials PRIMARY KEY (id)
);
CREATE TABLE default_security_group_rules (
	id VARCHAR(36) NOT NULL, 
	direction VARCHAR(8) NOT NULL, 
	ethertype VARCHAR(8) NOT NULL, 
	protocol VARCHAR(40), 
	port_range_min INTEGER, 
	port_range_max INTEGER, 
	remote_ip_prefix VARCHAR(64), 
	remote_is_parent BOOLEAN NOT NULL, 
	remote_to_group_id VARCHAR(36), 
	remote_address_group_id VARCHAR(36), 
	used_in_default_sg BOOLEAN NOT NULL, 
	used_in_non_default_sg BOOLEAN NOT NULL, 
	description VARCHAR(255) NOT NULL, 
	digest VARCHAR(40) NOT NULL, 
	CONSTRAINT fk_default_security_group_rules_remote_address_group_id FOREIGN KEY(remote_address_group_id) REFERENCES address_groups (id), 
	CONSTRAINT fk_default_security_group_rules_remote_to_group_id FOREIGN KEY(remote_to_group_id) REFERENCES security_groups (id) ON DELETE CASCADE, 
	CONSTRAINT pk_default_security_group_rules PRIMARY KEY (id)
);
INSERT INTO "default_security_group_rules" VALUES('5dff6495-db8c-5099-814e-dfd54ac56136','egress','IPv4',NULL,NULL,NULL,NULL,0,NULL,NULL,1,1,'Legacy default SG rule for egress traffic','da80bc8ca72791bf152a680656e16c1e8e287124');
INSERT INTO "default_security_group_rules" VALUES('5b5bcbf1-b361-5f6c-ba88-181e20616f68','egress','IPv6',NULL,NULL,NULL,NULL,0,NULL,NULL,1,1,'Legacy default SG rule for egress traffic','811f4f95d9b33ed97f89223b09cf209e123e94bc');
INSERT INTO "default_security_group_rules" VALUES('02cea1c2-6604-53ba-9776-772464107909','ingress','IPv4',NULL,NULL,NULL,NULL,1,NULL,NULL,1,0,'Legacy default SG rule for ingress traffic','c36c63958168ce14f0c8141626a63789fb1704e5');
INSERT INTO "default_security_group_rules" VALUES('139cbe6a-28ae-5561-8397-89e11b80f1bf','ingress','IPv6',NULL,NULL,NULL,NULL,1,NULL,NULL,1,0,'Legacy default SG rule for ingress traffic','7889229f2b74c06f0b353f7c5aec8f998a710c46');
CREATE TABLE default_security_groups (
	project_id VARCHAR(36) NOT NULL, 
	security_group_id VARCHAR(36) NOT NULL, 
	CONSTRAINT fk_default_security_groups_security_group_id FOREIGN KEY(security_group_id) REFERENCES security_groups (id) ON DELETE CASCADE, 
	CONSTRAINT pk_default_security_groups PRIMARY KEY (project_id), 
	CONSTRAINT uq_default_security_groups_security_group_id UNIQUE (security_group_id)
);
CREATE TABLE dhcp_bindings (
	network_id VARCHAR(36) NOT NULL, 
	agent_id VARCHAR(36) NOT NULL, 
	status VARCHAR(16) NOT NULL, 
	reason TEXT, 
	bound_at DATETIME NOT NULL, 
	CONSTRAINT fk_dhcp_bindings_agent_id FOREIGN KEY(agent_id) REFERENCES agents (id) ON DELETE CASCADE, 
	CONSTRAINT fk_dhcp_bindings_network_id FOREIGN KEY(network_id) REFERENCES networks (id) ON DELETE CASCADE, 
	CONSTRAINT pk_dhcp_bindings PRIMARY KEY (network_id, agent_id)
);
CREATE TABLE dhcp_ports (
	port_id VARCHAR(36) NOT NULL, 
	network_id VARCHAR(36) NOT NULL, 
	CONSTRAINT fk_dhcp_ports_port_id FOREIGN KEY(port_id) REFERENCES ports (id) ON DELETE CASCADE, 
	CONSTRAINT pk_dhcp_ports PRIMARY KEY (port_id)
);
CREATE TABLE dns_records (
	name VARCHAR(255) NOT NULL, 
	record_type VARCHAR(8) NOT NULL, 
	data VARCHAR(255) NOT NULL, 
	resource_id VARCHAR(36) NOT NULL, 
	resource_type VARCHAR(16) NOT NULL, 
	project_id VARCHAR(36) NOT NULL, 
	status VARCHAR(16) NOT NULL, 
	reason VARCHAR(255), 
	updated_at DATETIME NOT NULL, 
	CONSTRAINT pk_dns_records PRIMARY KEY (name, record_type, data, resource_id)
);
CREATE TABLE domain_options (
	id VARCHAR(32) NOT NULL, 
	domain_id VARCHAR(36) NOT NULL, 
	group_name VARCHAR(64) NOT NULL, 
	option_name VARCHAR(64) NOT NULL, 
	value TEXT, 
	sealed TEXT, 
	CONSTRAINT fk_domain_options_domain_id FOREIGN KEY(domain_id) REFERENCES projects (id) ON DELETE CASCADE, 
	CONSTRAINT pk_domain_options PRIMARY KEY (id), 
	CONSTRAINT uq_domain_options_domain_id_group_name_option_name UNIQUE (domain_id, group_name, option_name)
);
CREATE TABLE dvr_host_macs (
	host VARCHAR(255) NOT NULL, 
	mac_address VARCHAR(17) NOT NULL, 
	CONSTRAINT pk_dvr_host_macs PRIMARY KEY (host), 
	CONSTRAINT uq_dvr_host_macs_mac_address UNIQUE (mac_address)
);
CREATE TABLE endpoint_groups (
	id VARCHAR(36) NOT NULL, 
	name VARCHAR(255) NOT NULL, 
	description TEXT, 
	filters TEXT NOT NULL, 
	CONSTRAINT pk_endpoint_groups PRIMARY KEY (id)
);
CREATE TABLE endpoints (
	id VARCHAR(36) NOT NULL, 
	service_id VARCHAR(36) NOT NULL, 
	interface VARCHAR(8) NOT NULL, 
	region_id VARCHAR(255), 
	url TEXT NOT NULL, 
	enabled BOOLEAN NOT NULL, 
	extra TEXT, 
	CONSTRAINT fk_endpoints_region_id FOREIGN KEY(region_id) REFERENCES regions (id), 
	CONSTRAINT fk_endpoints_service_id FOREIGN KEY(service_id) REFERENCES services (id) ON DELETE CASCADE, 
	CONSTRAINT pk_endpoints PRIMARY KEY (id)
);
CREATE TABLE events (
	id INTEGER NOT NULL, 
	position BIGINT, 
	kind VARCHAR(64) NOT NULL, 
	resource_type VARCHAR(64) NOT NULL, 
	resource_id VARCHAR(255) NOT NULL, 
	project_id VARCHAR(36), 
	request_id VARCHAR(64), 
	user_id VARCHAR(64), 
	host VARCHAR(255), 
	at DATETIME NOT NULL, 
	payload TEXT NOT NULL, 
	scopes TEXT NOT NULL, 
	CONSTRAINT pk_events PRIMARY KEY (id), 
	CONSTRAINT uq_events_position UNIQUE (position)
);
CREATE TABLE "expiring_memberships" (
	user_id VARCHAR(64) NOT NULL, 
	group_id VARCHAR(64) NOT NULL, 
	expires_at DATETIME NOT NULL, 
	CONSTRAINT fk_expiring_memberships_group_id FOREIGN KEY(group_id) REFERENCES groups (id) ON DELETE CASCADE, 
	CONSTRAINT fk_expiring_memberships_user_id FOREIGN KEY(user_id) REFERENCES users (id) ON DELETE CASCADE, 
	CONSTRAINT pk_expiring_memberships PRIMARY KEY (user_id, group_id)
);
CREATE TABLE "federated_users" (
	user_id VARCHAR(64) NOT NULL, 
	idp_id VARCHAR(64) NOT NULL, 
	protocol_id VARCHAR(64) NOT NULL, 
	unique_id VARCHAR(255) NOT NULL, 
	CONSTRAINT fk_federated_users_idp_id FOREIGN KEY(idp_id) REFERENCES identity_providers (id) ON DELETE CASCADE, 
	CONSTRAINT fk_federated_users_user_id FOREIGN KEY(user_id) REFERENCES users (id) ON DELETE CASCADE, 
	CONSTRAINT pk_federated_users PRIMARY KEY (user_id), 
	CONSTRAINT uq_federated_users_idp_id_protocol_id_unique_id UNIQUE (idp_id, protocol_id, unique_id)
);
CREATE TABLE federation_protocols (
	idp_id VARCHAR(64) NOT NULL, 
	id VARCHAR(64) NOT NULL, 
	mapping_id VARCHAR(64) NOT NULL, 
	remote_id_attribute VARCHAR(64), 
	CONSTRAINT fk_federation_protocols_idp_id FOREIGN KEY(idp_id) REFERENCES identity_providers (id) ON DELETE CASCADE, 
	CONSTRAINT pk_federation_protocols PRIMARY KEY (idp_id, id)
);
CREATE TABLE flavor_access (
	flavor_id VARCHAR(255) NOT NULL, 
	project_id VARCHAR(36) NOT NULL, 
	CONSTRAINT fk_flavor_access_flavor_id FOREIGN KEY(flavor_id) REFERENCES flavors (id) ON DELETE CASCADE, 
	CONSTRAINT pk_flavor_access PRIMARY KEY (flavor_id, project_id)
);
CREATE TABLE flavor_service_profiles (
	flavor_id VARCHAR(36) NOT NULL, 
	service_profile_id VARCHAR(36) NOT NULL, 
	bound_at DATETIME NOT NULL, 
	CONSTRAINT fk_flavor_service_profiles_flavor_id FOREIGN KEY(flavor_id) REFERENCES network_flavors (id) ON DELETE CASCADE, 
	CONSTRAINT fk_flavor_service_profiles_service_profile_id FOREIGN KEY(service_profile_id) REFERENCES service_profiles (id), 
	CONSTRAINT pk_flavor_service_profiles PRIMARY KEY (flavor_id, service_profile_id)
);
CREATE TABLE flavors (
	id VARCHAR(255) NOT NULL, 
	name VARCHAR(255) NOT NULL, 
	vcpus INTEGER NOT NULL, 
	ram INTEGER NOT NULL, 
	disk INTEGER NOT NULL, 
	ephemeral INTEGER NOT NULL, 
	swap INTEGER NOT NULL, 
	rxtx_factor FLOAT NOT NULL, 
	disabled BOOLEAN NOT NULL, 
	is_public BOOLEAN NOT NULL, 
	description TEXT, 
	extra_specs TEXT NOT NULL, 
	created_at DATETIME NOT NULL, 
	updated_at DATETIME NOT NULL, 
	CONSTRAINT pk_flavors PRIMARY KEY (id), 
	CONSTRAINT uq_flavors_name UNIQUE (name)
);
CREATE TABLE floating_ip_gateways (
	port_id VARCHAR(36) NOT NULL, 
	host VARCHAR(255) NOT NULL, 
	network_id VARCHAR(36) NOT NULL, 
	CONSTRAINT fk_floating_ip_gateways_network_id FOREIGN KEY(network_id) REFERENCES networks (id), 
	CONSTRAINT fk_floating_ip_gateways_port_id FOREIGN KEY(port_id) REFERENCES ports (id) ON DELETE CASCADE, 
	CONSTRAINT pk_floating_ip_gateways PRIMARY KEY (port_id), 
	CONSTRAINT uq_floating_ip_gateways_host_network_id UNIQUE (host, network_id)
);
CREATE TABLE floating_ip_hosts (
	floating_ip_id VARCHAR(36) NOT NULL, 
	host VARCHAR(255) NOT NULL, 
	port_id VARCHAR(36) NOT NULL, 
	fixed_ip_address VARCHAR(64) NOT NULL, 
	CONSTRAINT fk_floating_ip_hosts_floating_ip_id FOREIGN KEY(floating_ip_id) REFERENCES floating_ips (id) ON DELETE CASCADE, 
	CONSTRAINT pk_floating_ip_hosts PRIMARY KEY (floating_ip_id)
);
CREATE TABLE floating_ips (
	id VARCHAR(36) NOT NULL, 
	project_id VARCHAR(36) NOT NULL, 
	floating_network_id VARCHAR(36) NOT NULL, 
	floating_ip_address VARCHAR(64) NOT NULL, 
	floating_port_id VARCHAR(36) NOT NULL, 
	fixed_port_id VARCHAR(36), 
	fixed_ip_address VARCHAR(64), 
	router_id VARCHAR(36), 
	status VARCHAR(16) NOT NULL, 
	qos_policy_id VARCHAR(36), 
	dns_name VARCHAR(255) NOT NULL, 
	dns_domain VARCHAR(255) NOT NULL, 
	description VARCHAR(255) NOT NULL, 
	revision_number INTEGER NOT NULL, 
	created_at DATETIME NOT NULL, 
	updated_at DATETIME NOT NULL, 
	CONSTRAINT fk_floating_ips_fixed_port_id FOREIGN KEY(fixed_port_id) REFERENCES ports (id), 
	CONSTRAINT fk_floating_ips_floating_network_id FOREIGN KEY(floating_network_id) REFERENCES networks (id), 
	CONSTRAINT fk_floating_ips_floating_port_id FOREIGN KEY(floating_port_id) REFERENCES ports (id) ON DELETE CASCADE, 
	CONSTRAINT fk_floating_ips_qos_policy_id FOREIGN KEY(qos_policy_id) REFERENCES qos_policies (id), 
	CONSTRAINT fk_floating_ips_router_id FOREIGN KEY(router_id) REFERENCES routers (id), 
	CONSTRAINT pk_floating_ips PRIMARY KEY (id), 
	CONSTRAINT uq_floating_ips_fixed_address UNIQUE (fixed_port_id, floating_network_id, fixed_ip_address), 
	CONSTRAINT uq_floating_ips_floating_port_id UNIQUE (floating_port_id)
);
CREATE TABLE gateway_machines (
	router_id VARCHAR(36) NOT NULL, 
	server_id VARCHAR(36), 
	failures INTEGER NOT NULL, 
	reason VARCHAR(1024), 
	try_at DATETIME, 
	ailing_since DATETIME, 
	created_at DATETIME NOT NULL, 
	CONSTRAINT pk_gateway_machines PRIMARY KEY (router_id), 
	CONSTRAINT uq_gateway_machines_server_id UNIQUE (server_id)
);
CREATE TABLE "grants" (
	actor_kind VARCHAR(8) NOT NULL, 
	actor_id VARCHAR(64) NOT NULL, 
	target_kind VARCHAR(8) NOT NULL, 
	target_id VARCHAR(36) NOT NULL, 
	role_id VARCHAR(36) NOT NULL, 
	inherited BOOLEAN DEFAULT 0 NOT NULL, 
	CONSTRAINT fk_grants_role_id FOREIGN KEY(role_id) REFERENCES roles (id) ON DELETE CASCADE, 
	CONSTRAINT pk_grants PRIMARY KEY (actor_kind, actor_id, target_kind, target_id, role_id, inherited)
);
CREATE TABLE "group_members" (
	user_id VARCHAR(64) NOT NULL, 
	group_id VARCHAR(64) NOT NULL, 
	CONSTRAINT fk_group_members_group_id FOREIGN KEY(group_id) REFERENCES groups (id) ON DELETE CASCADE, 
	CONSTRAINT fk_group_members_user_id FOREIGN KEY(user_id) REFERENCES users (id) ON DELETE CASCADE, 
	CONSTRAINT pk_group_members PRIMARY KEY (user_id, group_id)
);
CREATE TABLE "groups" (
	id VARCHAR(64) NOT NULL, 
	name VARCHAR(255) NOT NULL, 
	domain_id VARCHAR(36) NOT NULL, 
	description TEXT NOT NULL, 
	extra TEXT, local_id VARCHAR(255), gone_at DATETIME, 
	CONSTRAINT fk_groups_domain_id FOREIGN KEY(domain_id) REFERENCES projects (id), 
	CONSTRAINT pk_groups PRIMARY KEY (id), 
	CONSTRAINT uq_groups_domain_id_name UNIQUE (domain_id, name)
);
CREATE TABLE guest_passwords (
	server_id VARCHAR(36) NOT NULL, 
	password TEXT NOT NULL, 
	CONSTRAINT fk_guest_passwords_server_id FOREIGN KEY(server_id) REFERENCES servers (id) ON DELETE CASCADE, 
	CONSTRAINT pk_guest_passwords PRIMARY KEY (server_id)
);
CREATE TABLE ha_networks (
	project_id VARCHAR(36) NOT NULL, 
	network_id VARCHAR(36) NOT NULL, 
	CONSTRAINT fk_ha_networks_network_id FOREIGN KEY(network_id) REFERENCES networks (id), 
	CONSTRAINT pk_ha_networks PRIMARY KEY (project_id), 
	CONSTRAINT uq_ha_networks_network_id UNIQUE (network_id)
);
CREATE TABLE ha_vr_ids (
	network_id VARCHAR(36) NOT NULL, 
	vr_id INTEGER NOT NULL, 
	router_id VARCHAR(36) NOT NULL, 
	CONSTRAINT fk_ha_vr_ids_network_id FOREIGN KEY(network_id) REFERENCES networks (id), 
	CONSTRAINT fk_ha_vr_ids_router_id FOREIGN KEY(router_id) REFERENCES routers (id) ON DELETE CASCADE, 
	CONSTRAINT pk_ha_vr_ids PRIMARY KEY (network_id, vr_id), 
	CONSTRAINT uq_ha_vr_ids_router_id UNIQUE (router_id)
);
CREATE TABLE identity_generation (
	id INTEGER NOT NULL, 
	generation BIGINT NOT NULL, 
	CONSTRAINT pk_identity_generation PRIMARY KEY (id)
);
CREATE TABLE identity_provider_remote_ids (
	remote_id VARCHAR(255) NOT NULL, 
	idp_id VARCHAR(64) NOT NULL, 
	CONSTRAINT fk_identity_provider_remote_ids_idp_id FOREIGN KEY(idp_id) REFERENCES identity_providers (id) ON DELETE CASCADE, 
	CONSTRAINT pk_identity_provider_remote_ids PRIMARY KEY (remote_id)
);
CREATE TABLE identity_providers (
	id VARCHAR(64) NOT NULL, 
	domain_id VARCHAR(36) NOT NULL, 
	enabled BOOLEAN NOT NULL, 
	description TEXT, 
	authorization_ttl INTEGER, 
	CONSTRAINT fk_identity_providers_domain_id FOREIGN KEY(domain_id) REFERENCES projects (id) ON DELETE CASCADE, 
	CONSTRAINT pk_identity_providers PRIMARY KEY (id)
);
CREATE TABLE image_members (
	image_id VARCHAR(36) NOT NULL, 
	member_id VARCHAR(255) NOT NULL, 
	status VARCHAR(20) NOT NULL, 
	created_at DATETIME NOT NULL, 
	updated_at DATETIME NOT NULL, 
	CONSTRAINT fk_image_members_image_id FOREIGN KEY(image_id) REFERENCES images (id) ON DELETE CASCADE, 
	CONSTRAINT pk_image_members PRIMARY KEY (image_id, member_id)
);
CREATE TABLE image_properties (
	image_id VARCHAR(36) NOT NULL, 
	name VARCHAR(255) NOT NULL, 
	value TEXT NOT NULL, 
	CONSTRAINT fk_image_properties_image_id FOREIGN KEY(image_id) REFERENCES images (id) ON DELETE CASCADE, 
	CONSTRAINT pk_image_properties PRIMARY KEY (image_id, name)
);
CREATE TABLE image_tasks (
	id VARCHAR(36) NOT NULL, 
	type VARCHAR(30) NOT NULL, 
	status VARCHAR(20) NOT NULL, 
	owner VARCHAR(255) NOT NULL, 
	image_id VARCHAR(36), 
	user_id VARCHAR(255), 
	request_id VARCHAR(64), 
	input TEXT NOT NULL, 
	result TEXT, 
	message TEXT NOT NULL, 
	created_at DATETIME NOT NULL, 
	updated_at DATETIME NOT NULL, 
	expires_at DATETIME, 
	CONSTRAINT pk_image_tasks PRIMARY KEY (id)
);
CREATE TABLE images (
	id VARCHAR(36) NOT NULL, 
	owner VARCHAR(255), 
	name VARCHAR(255), 
	status VARCHAR(30) NOT NULL, 
	visibility VARCHAR(20) NOT NULL, 
	protected BOOLEAN NOT NULL, 
	os_hidden BOOLEAN NOT NULL, 
	disk_format VARCHAR(20), 
	container_format VARCHAR(20), 
	min_disk INTEGER NOT NULL, 
	min_ram INTEGER NOT NULL, 
	size BIGINT, 
	virtual_size BIGINT, 
	checksum VARCHAR(32), 
	os_hash_algo VARCHAR(64), 
	os_hash_value VARCHAR(128), 
	created_at DATETIME NOT NULL, 
	updated_at DATETIME NOT NULL, 
	object VARCHAR(80), 
	worker VARCHAR(64), 
	staged TEXT, reserved BIGINT, 
	CONSTRAINT pk_images PRIMARY KEY (id)
);
CREATE TABLE implied_roles (
	prior_role_id VARCHAR(36) NOT NULL, 
	implied_role_id VARCHAR(36) NOT NULL, 
	CONSTRAINT fk_implied_roles_implied_role_id FOREIGN KEY(implied_role_id) REFERENCES roles (id) ON DELETE CASCADE, 
	CONSTRAINT fk_implied_roles_prior_role_id FOREIGN KEY(prior_role_id) REFERENCES roles (id) ON DELETE CASCADE, 
	CONSTRAINT pk_implied_roles PRIMARY KEY (prior_role_id, implied_role_id)
);
CREATE TABLE ip_allocations (
	subnet_id VARCHAR(36) NOT NULL, 
	ip_address VARCHAR(64) NOT NULL, 
	port_id VARCHAR(36) NOT NULL, 
	CONSTRAINT fk_ip_allocations_port_id FOREIGN KEY(port_id) REFERENCES ports (id) ON DELETE CASCADE, 
	CONSTRAINT fk_ip_allocations_subnet_id FOREIGN KEY(subnet_id) REFERENCES subnets (id), 
	CONSTRAINT pk_ip_allocations PRIMARY KEY (subnet_id, ip_address)
);
CREATE TABLE keypairs (
	id INTEGER NOT NULL, 
	user_id VARCHAR(64) NOT NULL, 
	name VARCHAR(255) NOT NULL, 
	type VARCHAR(8) NOT NULL, 
	fingerprint VARCHAR(255) NOT NULL, 
	public_key TEXT NOT NULL, 
	created_at DATETIME NOT NULL, 
	CONSTRAINT pk_keypairs PRIMARY KEY (id), 
	CONSTRAINT uq_keypairs_user_id_name UNIQUE (user_id, name)
);
CREATE TABLE l2_gateway_connections (
	id VARCHAR(36) NOT NULL, 
	project_id VARCHAR(36) NOT NULL, 
	l2_gateway_id VARCHAR(36) NOT NULL, 
	network_id VARCHAR(36) NOT NULL, 
	segmentation_id INTEGER NOT NULL, 
	CONSTRAINT fk_l2_gateway_connections_l2_gateway_id FOREIGN KEY(l2_gateway_id) REFERENCES l2_gateways (id), 
	CONSTRAINT fk_l2_gateway_connections_network_id FOREIGN KEY(network_id) REFERENCES networks (id) ON DELETE CASCADE, 
	CONSTRAINT pk_l2_gateway_connections PRIMARY KEY (id), 
	CONSTRAINT uq_l2_gateway_connections_network UNIQUE (l2_gateway_id, network_id)
);
CREATE TABLE l2_gateway_ports (
	l2_gateway_id VARCHAR(36) NOT NULL, 
	device_name VARCHAR(64) NOT NULL, 
	interface_name VARCHAR(64) NOT NULL, 
	vlan INTEGER NOT NULL, 
	CONSTRAINT fk_l2_gateway_ports_l2_gateway_id FOREIGN KEY(l2_gateway_id) REFERENCES l2_gateways (id) ON DELETE CASCADE, 
	CONSTRAINT pk_l2_gateway_ports PRIMARY KEY (l2_gateway_id, device_name, interface_name, vlan)
);
CREATE TABLE l2_gateways (
	id VARCHAR(36) NOT NULL, 
	project_id VARCHAR(36) NOT NULL, 
	name VARCHAR(255) NOT NULL, 
	devices TEXT NOT NULL, 
	CONSTRAINT pk_l2_gateways PRIMARY KEY (id)
);
CREATE TABLE leases (
	name VARCHAR(255) NOT NULL, 
	owner VARCHAR(255) NOT NULL, 
	expires_at DATETIME NOT NULL, 
	CONSTRAINT pk_leases PRIMARY KEY (name)
);
CREATE TABLE limits (
	id VARCHAR(36) NOT NULL, 
	registered_limit_id VARCHAR(36) NOT NULL, 
	owner_id VARCHAR(36) NOT NULL, 
	project_id VARCHAR(36), 
	domain_id VARCHAR(36), 
	resource_limit INTEGER NOT NULL, 
	description TEXT, 
	CONSTRAINT fk_limits_owner_id FOREIGN KEY(owner_id) REFERENCES projects (id) ON DELETE CASCADE, 
	CONSTRAINT fk_limits_registered_limit_id FOREIGN KEY(registered_limit_id) REFERENCES registered_limits (id) ON DELETE CASCADE, 
	CONSTRAINT pk_limits PRIMARY KEY (id), 
	CONSTRAINT uq_limits_registered_limit_id_owner_id UNIQUE (registered_limit_id, owner_id)
);
CREATE TABLE local_ip_associations (
	local_ip_id VARCHAR(36) NOT NULL, 
	fixed_port_id VARCHAR(36) NOT NULL, 
	fixed_ip VARCHAR(64) NOT NULL, 
	CONSTRAINT fk_local_ip_associations_fixed_port_id FOREIGN KEY(fixed_port_id) REFERENCES ports (id) ON DELETE CASCADE, 
	CONSTRAINT fk_local_ip_associations_local_ip_id FOREIGN KEY(local_ip_id) REFERENCES local_ips (id), 
	CONSTRAINT pk_local_ip_associations PRIMARY KEY (local_ip_id, fixed_port_id)
);
CREATE TABLE local_ips (
	id VARCHAR(36) NOT NULL, 
	project_id VARCHAR(36) NOT NULL, 
	name VARCHAR(255) NOT NULL, 
	description VARCHAR(1024) NOT NULL, 
	local_port_id VARCHAR(36) NOT NULL, 
	network_id VARCHAR(36) NOT NULL, 
	local_ip_address VARCHAR(64) NOT NULL, 
	ip_mode VARCHAR(16) NOT NULL, 
	CONSTRAINT fk_local_ips_local_port_id FOREIGN KEY(local_port_id) REFERENCES ports (id), 
	CONSTRAINT pk_local_ips PRIMARY KEY (id)
);
CREATE TABLE locks (
	name VARCHAR(255) NOT NULL, 
	CONSTRAINT pk_locks PRIMARY KEY (name)
);
CREATE TABLE logs (
	id VARCHAR(36) NOT NULL, 
	project_id VARCHAR(36) NOT NULL, 
	name VARCHAR(255) NOT NULL, 
	resource_type VARCHAR(36) NOT NULL, 
	resource_id VARCHAR(36), 
	target_id VARCHAR(36), 
	event VARCHAR(8) NOT NULL, 
	enabled BOOLEAN NOT NULL, 
	description VARCHAR(255) NOT NULL, 
	revision_number INTEGER NOT NULL, 
	created_at DATETIME NOT NULL, 
	updated_at DATETIME NOT NULL, 
	CONSTRAINT fk_logs_resource_id FOREIGN KEY(resource_id) REFERENCES security_groups (id) ON DELETE CASCADE, 
	CONSTRAINT fk_logs_target_id FOREIGN KEY(target_id) REFERENCES ports (id) ON DELETE CASCADE, 
	CONSTRAINT pk_logs PRIMARY KEY (id)
);
CREATE TABLE mappings (
	id VARCHAR(64) NOT NULL, 
	rules TEXT NOT NULL, 
	schema_version VARCHAR(5) NOT NULL, 
	CONSTRAINT pk_mappings PRIMARY KEY (id)
);
CREATE TABLE metadef_associations (
	namespace_id VARCHAR(36) NOT NULL, 
	name VARCHAR(80) NOT NULL, 
	prefix VARCHAR(80), 
	properties_target VARCHAR(80), 
	created_at DATETIME NOT NULL, 
	updated_at DATETIME NOT NULL, 
	CONSTRAINT fk_metadef_associations_name FOREIGN KEY(name) REFERENCES metadef_resource_types (name), 
	CONSTRAINT fk_metadef_associations_namespace_id FOREIGN KEY(namespace_id) REFERENCES metadef_namespaces (id) ON DELETE CASCADE, 
	CONSTRAINT pk_metadef_associations PRIMARY KEY (namespace_id, name)
);
CREATE TABLE metadef_namespaces (
	id VARCHAR(36) NOT NULL, 
	namespace VARCHAR(80) NOT NULL, 
	display_name VARCHAR(80), 
	description TEXT, 
	visibility VARCHAR(20) NOT NULL, 
	protected BOOLEAN NOT NULL, 
	owner VARCHAR(255), 
	created_at DATETIME NOT NULL, 
	updated_at DATETIME NOT NULL, 
	CONSTRAINT pk_metadef_namespaces PRIMARY KEY (id), 
	CONSTRAINT uq_metadef_namespaces_namespace UNIQUE (namespace)
);
CREATE TABLE metadef_objects (
	id VARCHAR(36) NOT NULL, 
	namespace_id VARCHAR(36) NOT NULL, 
	name VARCHAR(80) NOT NULL, 
	document TEXT NOT NULL, 
	created_at DATETIME NOT NULL, 
	updated_at DATETIME NOT NULL, 
	CONSTRAINT fk_metadef_objects_namespace_id FOREIGN KEY(namespace_id) REFERENCES metadef_namespaces (id) ON DELETE CASCADE, 
	CONSTRAINT pk_metadef_objects PRIMARY KEY (id), 
	CONSTRAINT uq_metadef_objects_namespace_id_name UNIQUE (namespace_id, name)
);
CREATE TABLE metadef_properties (
	id VARCHAR(36) NOT NULL, 
	namespace_id VARCHAR(36) NOT NULL, 
	name VARCHAR(80) NOT NULL, 
	document TEXT NOT NULL, 
	created_at DATETIME NOT NULL, 
	updated_at DATETIME NOT NULL, 
	CONSTRAINT fk_metadef_properties_namespace_id FOREIGN KEY(namespace_id) REFERENCES metadef_namespaces (id) ON DELETE CASCADE, 
	CONSTRAINT pk_metadef_properties PRIMARY KEY (id), 
	CONSTRAINT uq_metadef_properties_namespace_id_name UNIQUE (namespace_id, name)
);
CREATE TABLE metadef_resource_types (
	name VARCHAR(80) NOT NULL, 
	created_at DATETIME NOT NULL, 
	updated_at DATETIME NOT NULL, 
	CONSTRAINT pk_metadef_resource_types PRIMARY KEY (name)
);
CREATE TABLE metadef_tags (
	id VARCHAR(36) NOT NULL, 
	namespace_id VARCHAR(36) NOT NULL, 
	name VARCHAR(80) NOT NULL, 
	document TEXT NOT NULL, 
	created_at DATETIME NOT NULL, 
	updated_at DATETIME NOT NULL, 
	CONSTRAINT fk_metadef_tags_namespace_id FOREIGN KEY(namespace_id) REFERENCES metadef_namespaces (id) ON DELETE CASCADE, 
	CONSTRAINT pk_metadef_tags PRIMARY KEY (id), 
	CONSTRAINT uq_metadef_tags_namespace_id_name UNIQUE (namespace_id, name)
);
CREATE TABLE metering_counters (
	label_id VARCHAR(36) NOT NULL, 
	router_id VARCHAR(36) NOT NULL, 
	host VARCHAR(255) NOT NULL, 
	packets BIGINT NOT NULL, 
	octets BIGINT NOT NULL, 
	last_packets BIGINT NOT NULL, 
	last_octets BIGINT NOT NULL, 
	updated_at DATETIME NOT NULL, 
	CONSTRAINT fk_metering_counters_label_id FOREIGN KEY(label_id) REFERENCES metering_labels (id) ON DELETE CASCADE, 
	CONSTRAINT fk_metering_counters_router_id FOREIGN KEY(router_id) REFERENCES routers (id) ON DELETE CASCADE, 
	CONSTRAINT pk_metering_counters PRIMARY KEY (label_id, router_id, host)
);
CREATE TABLE metering_label_rules (
	id VARCHAR(36) NOT NULL, 
	metering_label_id VARCHAR(36) NOT NULL, 
	direction VARCHAR(8) NOT NULL, 
	excluded BOOLEAN NOT NULL, 
	remote_ip_prefix VARCHAR(64), 
	source_ip_prefix VARCHAR(64), 
	destination_ip_prefix VARCHAR(64), 
	CONSTRAINT fk_metering_label_rules_metering_label_id FOREIGN KEY(metering_label_id) REFERENCES metering_labels (id) ON DELETE CASCADE, 
	CONSTRAINT pk_metering_label_rules PRIMARY KEY (id)
);
CREATE TABLE metering_labels (
	id VARCHAR(36) NOT NULL, 
	project_id VARCHAR(36) NOT NULL, 
	name VARCHAR(255) NOT NULL, 
	description VARCHAR(255) NOT NULL, 
	shared BOOLEAN NOT NULL, 
	CONSTRAINT pk_metering_labels PRIMARY KEY (id)
);
CREATE TABLE ndp_proxies (
	id VARCHAR(36) NOT NULL, 
	project_id VARCHAR(36) NOT NULL, 
	name VARCHAR(255) NOT NULL, 
	router_id VARCHAR(36) NOT NULL, 
	port_id VARCHAR(36) NOT NULL, 
	ip_address VARCHAR(64) NOT NULL, 
	description VARCHAR(255) NOT NULL, 
	revision_number INTEGER NOT NULL, 
	created_at DATETIME NOT NULL, 
	updated_at DATETIME NOT NULL, 
	CONSTRAINT fk_ndp_proxies_port_id FOREIGN KEY(port_id) REFERENCES ports (id), 
	CONSTRAINT fk_ndp_proxies_router_id FOREIGN KEY(router_id) REFERENCES routers (id), 
	CONSTRAINT pk_ndp_proxies PRIMARY KEY (id), 
	CONSTRAINT uq_ndp_proxies_router_id_ip_address UNIQUE (router_id, ip_address)
);
CREATE TABLE network_flavors (
	id VARCHAR(36) NOT NULL, 
	name VARCHAR(255) NOT NULL, 
	description VARCHAR(255) NOT NULL, 
	service_type VARCHAR(36) NOT NULL, 
	enabled BOOLEAN NOT NULL, 
	CONSTRAINT pk_network_flavors PRIMARY KEY (id)
);
CREATE TABLE network_segment_ranges (
	id VARCHAR(36) NOT NULL, 
	project_id VARCHAR(36), 
	name VARCHAR(255) NOT NULL, 
	shared BOOLEAN NOT NULL, 
	network_type VARCHAR(16) NOT NULL, 
	physical_network VARCHAR(64) NOT NULL, 
	minimum BIGINT NOT NULL, 
	maximum BIGINT NOT NULL, 
	description VARCHAR(255) NOT NULL, 
	revision_number INTEGER NOT NULL, 
	created_at DATETIME NOT NULL, 
	updated_at DATETIME NOT NULL, 
	CONSTRAINT pk_network_segment_ranges PRIMARY KEY (id)
);
CREATE TABLE "networks" (
	id VARCHAR(36) NOT NULL, 
	project_id VARCHAR(36) NOT NULL, 
	name VARCHAR(255) NOT NULL, 
	description VARCHAR(255) NOT NULL, 
	admin_state_up BOOLEAN NOT NULL, 
	status VARCHAR(16) NOT NULL, 
	shared BOOLEAN NOT NULL, 
	external BOOLEAN NOT NULL, 
	is_default BOOLEAN NOT NULL, 
	mtu INTEGER NOT NULL, 
	network_type VARCHAR(16) NOT NULL, 
	physical_network VARCHAR(64), 
	segmentation_id BIGINT, 
	port_security_enabled BOOLEAN NOT NULL, 
	availability_zone_hints TEXT NOT NULL, 
	dns_domain VARCHAR(255) NOT NULL, 
	qos_policy_id VARCHAR(36), 
	created_at DATETIME NOT NULL, 
	updated_at DATETIME NOT NULL, 
	revision_number INTEGER NOT NULL, 
	segments TEXT, 
	vlan_transparent BOOLEAN DEFAULT 0 NOT NULL, 
	qinq BOOLEAN DEFAULT 0 NOT NULL, 
	CONSTRAINT fk_networks_qos_policy_id FOREIGN KEY(qos_policy_id) REFERENCES qos_policies (id), 
	CONSTRAINT pk_networks PRIMARY KEY (id)
);
CREATE TABLE node_tokens (
	host VARCHAR(255) NOT NULL, 
	issued_at DATETIME, 
	ends_at DATETIME, 
	refused_before DATETIME, 
	CONSTRAINT pk_node_tokens PRIMARY KEY (host)
);
CREATE TABLE "oauth1_access_tokens" (
	id VARCHAR(36) NOT NULL, 
	secret VARCHAR(64), 
	consumer_id VARCHAR(36) NOT NULL, 
	project_id VARCHAR(36) NOT NULL, 
	user_id VARCHAR(64) NOT NULL, 
	role_ids TEXT NOT NULL, 
	expires_at DATETIME, 
	sealed TEXT, 
	CONSTRAINT fk_oauth1_access_tokens_consumer_id FOREIGN KEY(consumer_id) REFERENCES oauth1_consumers (id) ON DELETE CASCADE, 
	CONSTRAINT fk_oauth1_access_tokens_project_id FOREIGN KEY(project_id) REFERENCES projects (id) ON DELETE CASCADE, 
	CONSTRAINT fk_oauth1_access_tokens_user_id FOREIGN KEY(user_id) REFERENCES users (id) ON DELETE CASCADE, 
	CONSTRAINT pk_oauth1_access_tokens PRIMARY KEY (id)
);
CREATE TABLE "oauth1_consumers" (
	id VARCHAR(36) NOT NULL, 
	description TEXT, 
	secret VARCHAR(64), 
	extra TEXT, 
	sealed TEXT, 
	CONSTRAINT pk_oauth1_consumers PRIMARY KEY (id)
);
CREATE TABLE oauth1_nonces (
	id VARCHAR(64) NOT NULL, 
	expires_at DATETIME NOT NULL, 
	CONSTRAINT pk_oauth1_nonces PRIMARY KEY (id)
);
CREATE TABLE "oauth1_request_tokens" (
	id VARCHAR(36) NOT NULL, 
	secret VARCHAR(64), 
	consumer_id VARCHAR(36) NOT NULL, 
	project_id VARCHAR(36) NOT NULL, 
	user_id VARCHAR(64), 
	role_ids TEXT, 
	verifier VARCHAR(16), 
	expires_at DATETIME, 
	sealed TEXT, 
	CONSTRAINT fk_oauth1_request_tokens_consumer_id FOREIGN KEY(consumer_id) REFERENCES oauth1_consumers (id) ON DELETE CASCADE, 
	CONSTRAINT fk_oauth1_request_tokens_project_id FOREIGN KEY(project_id) REFERENCES projects (id) ON DELETE CASCADE, 
	CONSTRAINT fk_oauth1_request_tokens_user_id FOREIGN KEY(user_id) REFERENCES users (id) ON DELETE CASCADE, 
	CONSTRAINT pk_oauth1_request_tokens PRIMARY KEY (id)
);
CREATE TABLE "old_passwords" (
	id VARCHAR(36) NOT NULL, 
	user_id VARCHAR(64) NOT NULL, 
	replaced_at DATETIME NOT NULL, 
	password_hash TEXT NOT NULL, 
	CONSTRAINT fk_old_passwords_user_id FOREIGN KEY(user_id) REFERENCES users (id) ON DELETE CASCADE, 
	CONSTRAINT pk_old_passwords PRIMARY KEY (id)
);
CREATE TABLE operations (
	id VARCHAR(36) NOT NULL, 
	kind VARCHAR(64) NOT NULL, 
	resource_id VARCHAR(255) NOT NULL, 
	project_id VARCHAR(36), 
	request_id VARCHAR(64), 
	state VARCHAR(16) NOT NULL, 
	step VARCHAR(64) NOT NULL, 
	owner VARCHAR(255), 
	deadline DATETIME, 
	data TEXT, 
	error TEXT, 
	created_at DATETIME NOT NULL, 
	updated_at DATETIME NOT NULL, 
	CONSTRAINT pk_operations PRIMARY KEY (id)
);
CREATE TABLE physical_addresses (
	switch_name VARCHAR(64) NOT NULL, 
	network_id VARCHAR(36) NOT NULL, 
	mac_address VARCHAR(32) NOT NULL, 
	CONSTRAINT fk_physical_addresses_network_id FOREIGN KEY(network_id) REFERENCES networks (id) ON DELETE CASCADE, 
	CONSTRAINT fk_physical_addresses_switch_name FOREIGN KEY(switch_name) REFERENCES physical_switches (name) ON DELETE CASCADE, 
	CONSTRAINT pk_physical_addresses PRIMARY KEY (switch_name, network_id, mac_address)
);
CREATE TABLE physical_switches (
	name VARCHAR(64) NOT NULL, 
	host VARCHAR(255) NOT NULL, 
	kind VARCHAR(16) NOT NULL, 
	ports TEXT NOT NULL, 
	tunnel_ip VARCHAR(64), 
	tunnel_types TEXT NOT NULL, 
	failure VARCHAR(1024), 
	CONSTRAINT pk_physical_switches PRIMARY KEY (name)
);
CREATE TABLE placement_aggregates (
	provider_id VARCHAR(36) NOT NULL, 
	aggregate_id VARCHAR(36) NOT NULL, 
	CONSTRAINT pk_placement_aggregates PRIMARY KEY (provider_id, aggregate_id)
);
CREATE TABLE placement_allocations (
	consumer_id VARCHAR(36) NOT NULL, 
	provider_id VARCHAR(36) NOT NULL, 
	resource_class VARCHAR(255) NOT NULL, 
	used BIGINT NOT NULL, 
	CONSTRAINT fk_placement_allocations_consumer_id FOREIGN KEY(consumer_id) REFERENCES placement_consumers (id) ON DELETE CASCADE, 
	CONSTRAINT pk_placement_allocations PRIMARY KEY (consumer_id, provider_id, resource_class)
);
CREATE TABLE placement_classes (
	name VARCHAR(255) NOT NULL, 
	created_at DATETIME NOT NULL, 
	CONSTRAINT pk_placement_classes PRIMARY KEY (name)
);
CREATE TABLE placement_consumers (
	id VARCHAR(36) NOT NULL, 
	project_id VARCHAR(255) NOT NULL, 
	user_id VARCHAR(255) NOT NULL, 
	kind VARCHAR(255), 
	generation INTEGER NOT NULL, 
	updated_at DATETIME NOT NULL, 
	CONSTRAINT pk_placement_consumers PRIMARY KEY (id)
);
CREATE TABLE placement_inventories (
	provider_id VARCHAR(36) NOT NULL, 
	resource_class VARCHAR(255) NOT NULL, 
	total BIGINT NOT NULL, 
	reserved BIGINT NOT NULL, 
	min_unit BIGINT NOT NULL, 
	max_unit BIGINT NOT NULL, 
	step_size BIGINT NOT NULL, 
	allocation_ratio DOUBLE NOT NULL, 
	CONSTRAINT pk_placement_inventories PRIMARY KEY (provider_id, resource_class)
);
CREATE TABLE placement_provider_traits (
	provider_id VARCHAR(36) NOT NULL, 
	trait VARCHAR(255) NOT NULL, 
	CONSTRAINT pk_placement_provider_traits PRIMARY KEY (provider_id, trait)
);
CREATE TABLE placement_providers (
	id VARCHAR(36) NOT NULL, 
	name VARCHAR(255) NOT NULL, 
	derived BOOLEAN NOT NULL, 
	generation INTEGER NOT NULL, 
	parent_id VARCHAR(36), 
	root_id VARCHAR(36) NOT NULL, 
	created_at DATETIME NOT NULL, 
	updated_at DATETIME NOT NULL, 
	CONSTRAINT pk_placement_providers PRIMARY KEY (id), 
	CONSTRAINT uq_placement_providers_name UNIQUE (name)
);
CREATE TABLE placement_traits (
	name VARCHAR(255) NOT NULL, 
	created_at DATETIME NOT NULL, 
	CONSTRAINT pk_placement_traits PRIMARY KEY (name)
);
CREATE TABLE policies (
	id VARCHAR(36) NOT NULL, 
	type VARCHAR(255) NOT NULL, 
	blob TEXT NOT NULL, 
	extra TEXT, 
	CONSTRAINT pk_policies PRIMARY KEY (id)
);
CREATE TABLE policy_associations (
	place VARCHAR(310) NOT NULL, 
	policy_id VARCHAR(36) NOT NULL, 
	endpoint_id VARCHAR(36), 
	service_id VARCHAR(36), 
	region_id VARCHAR(255), 
	CONSTRAINT fk_policy_associations_endpoint_id FOREIGN KEY(endpoint_id) REFERENCES endpoints (id) ON DELETE CASCADE, 
	CONSTRAINT fk_policy_associations_policy_id FOREIGN KEY(policy_id) REFERENCES policies (id) ON DELETE CASCADE, 
	CONSTRAINT fk_policy_associations_region_id FOREIGN KEY(region_id) REFERENCES regions (id) ON DELETE CASCADE, 
	CONSTRAINT fk_policy_associations_service_id FOREIGN KEY(service_id) REFERENCES services (id) ON DELETE CASCADE, 
	CONSTRAINT pk_policy_associations PRIMARY KEY (place)
);
CREATE TABLE port_bindings (
	port_id VARCHAR(36) NOT NULL, 
	host VARCHAR(255) NOT NULL, 
	vnic_type VARCHAR(64) NOT NULL, 
	profile TEXT NOT NULL, 
	vif_type VARCHAR(64) NOT NULL, 
	vif_details TEXT NOT NULL, 
	CONSTRAINT fk_port_bindings_port_id FOREIGN KEY(port_id) REFERENCES ports (id) ON DELETE CASCADE, 
	CONSTRAINT pk_port_bindings PRIMARY KEY (port_id, host)
);
CREATE TABLE port_forwardings (
	id VARCHAR(36) NOT NULL, 
	floatingip_id VARCHAR(36) NOT NULL, 
	internal_port_id VARCHAR(36) NOT NULL, 
	internal_ip_address VARCHAR(64) NOT NULL, 
	protocol VARCHAR(8) NOT NULL, 
	internal_port INTEGER, 
	internal_port_range VARCHAR(16) NOT NULL, 
	external_port INTEGER, 
	external_port_range VARCHAR(16) NOT NULL, 
	description VARCHAR(255) NOT NULL, 
	CONSTRAINT fk_port_forwardings_floatingip_id FOREIGN KEY(floatingip_id) REFERENCES floating_ips (id), 
	CONSTRAINT fk_port_forwardings_internal_port_id FOREIGN KEY(internal_port_id) REFERENCES ports (id), 
	CONSTRAINT pk_port_forwardings PRIMARY KEY (id), 
	CONSTRAINT uq_port_forwardings_external UNIQUE (floatingip_id, protocol, external_port_range), 
	CONSTRAINT uq_port_forwardings_internal UNIQUE (internal_port_id, internal_ip_address, protocol, internal_port_range)
);
CREATE TABLE "ports" (
	id VARCHAR(36) NOT NULL, 
	project_id VARCHAR(36) NOT NULL, 
	network_id VARCHAR(36) NOT NULL, 
	name VARCHAR(255) NOT NULL, 
	description VARCHAR(255) NOT NULL, 
	mac_address VARCHAR(17) NOT NULL, 
	admin_state_up BOOLEAN NOT NULL, 
	status VARCHAR(16) NOT NULL, 
	device_id VARCHAR(255) NOT NULL, 
	device_owner VARCHAR(255) NOT NULL, 
	port_security_enabled BOOLEAN NOT NULL, 
	fixed_ips TEXT NOT NULL, 
	security_groups TEXT NOT NULL, 
	allowed_address_pairs TEXT NOT NULL, 
	extra_dhcp_opts TEXT NOT NULL, 
	host VARCHAR(255) NOT NULL, 
	vnic_type VARCHAR(64) NOT NULL, 
	profile TEXT NOT NULL, 
	vif_type VARCHAR(64) NOT NULL, 
	vif_details TEXT NOT NULL, 
	dns_name VARCHAR(255) NOT NULL, 
	qos_policy_id VARCHAR(36), 
	rate_limited_by VARCHAR(16), 
	created_at DATETIME NOT NULL, 
	updated_at DATETIME NOT NULL, 
	revision_number INTEGER NOT NULL, 
	quarantined BOOLEAN DEFAULT 0 NOT NULL, 
	dns_domain VARCHAR(255) DEFAULT ('') NOT NULL, 
	trusted BOOLEAN, 
	hints TEXT, 
	data_plane_status VARCHAR(16), 
	propagate_uplink_status BOOLEAN DEFAULT 1 NOT NULL, 
	device_profile VARCHAR(255), 
	hardware_offload_type VARCHAR(16), 
	numa_affinity_policy VARCHAR(16), 
	ip_allocation VARCHAR(16) DEFAULT 'immediate' NOT NULL, 
	dns_assignment TEXT NOT NULL, dns_keywords TEXT, 
	CONSTRAINT fk_ports_network_id FOREIGN KEY(network_id) REFERENCES networks (id), 
	CONSTRAINT fk_ports_qos_policy_id FOREIGN KEY(qos_policy_id) REFERENCES qos_policies (id), 
	CONSTRAINT pk_ports PRIMARY KEY (id), 
	CONSTRAINT uq_ports_network_id_mac_address UNIQUE (network_id, mac_address)
);
CREATE TABLE project_endpoint_groups (
	project_id VARCHAR(36) NOT NULL, 
	endpoint_group_id VARCHAR(36) NOT NULL, 
	CONSTRAINT fk_project_endpoint_groups_endpoint_group_id FOREIGN KEY(endpoint_group_id) REFERENCES endpoint_groups (id) ON DELETE CASCADE, 
	CONSTRAINT fk_project_endpoint_groups_project_id FOREIGN KEY(project_id) REFERENCES projects (id) ON DELETE CASCADE, 
	CONSTRAINT pk_project_endpoint_groups PRIMARY KEY (project_id, endpoint_group_id)
);
CREATE TABLE project_endpoints (
	project_id VARCHAR(36) NOT NULL, 
	endpoint_id VARCHAR(36) NOT NULL, 
	CONSTRAINT fk_project_endpoints_endpoint_id FOREIGN KEY(endpoint_id) REFERENCES endpoints (id) ON DELETE CASCADE, 
	CONSTRAINT fk_project_endpoints_project_id FOREIGN KEY(project_id) REFERENCES projects (id) ON DELETE CASCADE, 
	CONSTRAINT pk_project_endpoints PRIMARY KEY (project_id, endpoint_id)
);
CREATE TABLE project_tags (
	project_id VARCHAR(36) NOT NULL, 
	tag VARCHAR(255) NOT NULL, 
	CONSTRAINT fk_project_tags_project_id FOREIGN KEY(project_id) REFERENCES projects (id) ON DELETE CASCADE, 
	CONSTRAINT pk_project_tags PRIMARY KEY (project_id, tag)
);
CREATE TABLE projects (
	id VARCHAR(36) NOT NULL, 
	name VARCHAR(64) NOT NULL, 
	owner VARCHAR(36) NOT NULL, 
	domain_id VARCHAR(36), 
	parent_id VARCHAR(36), 
	is_domain BOOLEAN NOT NULL, 
	enabled BOOLEAN NOT NULL, 
	description TEXT NOT NULL, 
	extra TEXT, options TEXT DEFAULT '{}' NOT NULL, 
	CONSTRAINT fk_projects_domain_id FOREIGN KEY(domain_id) REFERENCES projects (id), 
	CONSTRAINT pk_projects PRIMARY KEY (id), 
	CONSTRAINT uq_projects_owner_name UNIQUE (owner, name)
);
CREATE TABLE qos_policies (
	id VARCHAR(36) NOT NULL, 
	project_id VARCHAR(36) NOT NULL, 
	name VARCHAR(255) NOT NULL, 
	description VARCHAR(255) NOT NULL, 
	shared BOOLEAN NOT NULL, 
	is_default BOOLEAN NOT NULL, 
	created_at DATETIME NOT NULL, 
	updated_at DATETIME NOT NULL, 
	revision_number INTEGER NOT NULL, 
	CONSTRAINT pk_qos_policies PRIMARY KEY (id)
);
CREATE TABLE qos_router_policies (
	router_id VARCHAR(36) NOT NULL, 
	qos_policy_id VARCHAR(36) NOT NULL, 
	CONSTRAINT fk_qos_router_policies_qos_policy_id FOREIGN KEY(qos_policy_id) REFERENCES qos_policies (id), 
	CONSTRAINT fk_qos_router_policies_router_id FOREIGN KEY(router_id) REFERENCES routers (id) ON DELETE CASCADE, 
	CONSTRAINT pk_qos_router_policies PRIMARY KEY (router_id)
);
CREATE TABLE qos_rules (
	id VARCHAR(36) NOT NULL, 
	qos_policy_id VARCHAR(36) NOT NULL, 
	rule_type VARCHAR(32) NOT NULL, 
	direction VARCHAR(8) NOT NULL, 
	amount INTEGER NOT NULL, 
	burst INTEGER NOT NULL, 
	CONSTRAINT fk_qos_rules_qos_policy_id FOREIGN KEY(qos_policy_id) REFERENCES qos_policies (id) ON DELETE CASCADE, 
	CONSTRAINT pk_qos_rules PRIMARY KEY (id), 
	CONSTRAINT uq_qos_rules_qos_policy_id_rule_type_direction UNIQUE (qos_policy_id, rule_type, direction)
);
CREATE TABLE quota_limits (
	project_id VARCHAR(36) NOT NULL, 
	service VARCHAR(64) NOT NULL, 
	resource VARCHAR(64) NOT NULL, 
	hard_limit INTEGER NOT NULL, 
	CONSTRAINT pk_quota_limits PRIMARY KEY (project_id, service, resource)
);
CREATE TABLE rbac_policies (
	id VARCHAR(36) NOT NULL, 
	project_id VARCHAR(36) NOT NULL, 
	object_type VARCHAR(32) NOT NULL, 
	object_id VARCHAR(36) NOT NULL, 
	action VARCHAR(32) NOT NULL, 
	target_project VARCHAR(36) NOT NULL, 
	network_id VARCHAR(36), 
	qos_policy_id VARCHAR(36), 
	security_group_id VARCHAR(36), 
	subnetpool_id VARCHAR(36), 
	address_scope_id VARCHAR(36), 
	address_group_id VARCHAR(36), 
	CONSTRAINT fk_rbac_policies_address_group_id FOREIGN KEY(address_group_id) REFERENCES address_groups (id) ON DELETE CASCADE, 
	CONSTRAINT fk_rbac_policies_address_scope_id FOREIGN KEY(address_scope_id) REFERENCES address_scopes (id) ON DELETE CASCADE, 
	CONSTRAINT fk_rbac_policies_network_id FOREIGN KEY(network_id) REFERENCES networks (id) ON DELETE CASCADE, 
	CONSTRAINT fk_rbac_policies_qos_policy_id FOREIGN KEY(qos_policy_id) REFERENCES qos_policies (id) ON DELETE CASCADE, 
	CONSTRAINT fk_rbac_policies_security_group_id FOREIGN KEY(security_group_id) REFERENCES security_groups (id) ON DELETE CASCADE, 
	CONSTRAINT fk_rbac_policies_subnetpool_id FOREIGN KEY(subnetpool_id) REFERENCES subnetpools (id) ON DELETE CASCADE, 
	CONSTRAINT pk_rbac_policies PRIMARY KEY (id), 
	CONSTRAINT uq_rbac_policies_object_id_action_target_project UNIQUE (object_id, action, target_project)
);
CREATE TABLE regions (
	id VARCHAR(255) NOT NULL, 
	parent_region_id VARCHAR(255), 
	description TEXT NOT NULL, 
	extra TEXT, 
	CONSTRAINT fk_regions_parent_region_id FOREIGN KEY(parent_region_id) REFERENCES regions (id), 
	CONSTRAINT pk_regions PRIMARY KEY (id)
);
CREATE TABLE registered_limits (
	id VARCHAR(36) NOT NULL, 
	service_id VARCHAR(36) NOT NULL, 
	region_id VARCHAR(255), 
	region_key VARCHAR(255) NOT NULL, 
	resource_name VARCHAR(255) NOT NULL, 
	default_limit INTEGER NOT NULL, 
	description TEXT, 
	CONSTRAINT fk_registered_limits_region_id FOREIGN KEY(region_id) REFERENCES regions (id), 
	CONSTRAINT fk_registered_limits_service_id FOREIGN KEY(service_id) REFERENCES services (id) ON DELETE CASCADE, 
	CONSTRAINT pk_registered_limits PRIMARY KEY (id), 
	CONSTRAINT uq_registered_limits_service_id_region_key_resource_name UNIQUE (service_id, region_key, resource_name)
);
CREATE TABLE resource_tags (
	resource_id VARCHAR(36) NOT NULL, 
	tag VARCHAR(255) NOT NULL, 
	CONSTRAINT pk_resource_tags PRIMARY KEY (resource_id, tag)
);
CREATE TABLE "revocations" (
	audit_id VARCHAR(64) NOT NULL, 
	user_id VARCHAR(64) NOT NULL, 
	expires_at DATETIME NOT NULL, 
	revoked_at DATETIME NOT NULL, 
	CONSTRAINT pk_revocations PRIMARY KEY (audit_id)
);
CREATE TABLE roles (
	id VARCHAR(36) NOT NULL, 
	name VARCHAR(255) NOT NULL, 
	owner VARCHAR(36) NOT NULL, 
	domain_id VARCHAR(36), 
	description TEXT, 
	extra TEXT, options TEXT DEFAULT '{}' NOT NULL, 
	CONSTRAINT fk_roles_domain_id FOREIGN KEY(domain_id) REFERENCES projects (id), 
	CONSTRAINT pk_roles PRIMARY KEY (id), 
	CONSTRAINT uq_roles_owner_name UNIQUE (owner, name)
);
CREATE TABLE router_bindings (
	router_id VARCHAR(36) NOT NULL, 
	binding_index INTEGER NOT NULL, 
	agent_id VARCHAR(36) NOT NULL, 
	bound_at DATETIME NOT NULL, 
	ha_port_id VARCHAR(36), 
	ha_state VARCHAR(16), 
	ha_state_at DATETIME, 
	CONSTRAINT fk_router_bindings_agent_id FOREIGN KEY(agent_id) REFERENCES agents (id) ON DELETE CASCADE, 
	CONSTRAINT fk_router_bindings_ha_port_id FOREIGN KEY(ha_port_id) REFERENCES ports (id), 
	CONSTRAINT fk_router_bindings_router_id FOREIGN KEY(router_id) REFERENCES routers (id) ON DELETE CASCADE, 
	CONSTRAINT pk_router_bindings PRIMARY KEY (router_id, binding_index), 
	CONSTRAINT uq_router_bindings_router_id_agent_id UNIQUE (router_id, agent_id)
);
CREATE TABLE router_handovers (
	router_id VARCHAR(36) NOT NULL, 
	agent_id VARCHAR(36) NOT NULL, 
	phase VARCHAR(16) NOT NULL, 
	since DATETIME NOT NULL, 
	CONSTRAINT fk_router_handovers_agent_id FOREIGN KEY(agent_id) REFERENCES agents (id) ON DELETE CASCADE, 
	CONSTRAINT fk_router_handovers_router_id FOREIGN KEY(router_id) REFERENCES routers (id) ON DELETE CASCADE, 
	CONSTRAINT pk_router_handovers PRIMARY KEY (router_id)
);
CREATE TABLE router_ports (
	port_id VARCHAR(36) NOT NULL, 
	router_id VARCHAR(36) NOT NULL, 
	port_type VARCHAR(64) NOT NULL, gateway_index INTEGER DEFAULT '0' NOT NULL, 
	CONSTRAINT fk_router_ports_port_id FOREIGN KEY(port_id) REFERENCES ports (id) ON DELETE CASCADE, 
	CONSTRAINT fk_router_ports_router_id FOREIGN KEY(router_id) REFERENCES routers (id), 
	CONSTRAINT pk_router_ports PRIMARY KEY (port_id)
);
CREATE TABLE "routers" (
	id VARCHAR(36) NOT NULL, 
	project_id VARCHAR(36) NOT NULL, 
	name VARCHAR(255) NOT NULL, 
	admin_state_up BOOLEAN NOT NULL, 
	status VARCHAR(16) NOT NULL, 
	enable_snat BOOLEAN NOT NULL, 
	routes TEXT NOT NULL, 
	availability_zone_hints TEXT NOT NULL, 
	description VARCHAR(255) NOT NULL, 
	revision_number INTEGER NOT NULL, 
	created_at DATETIME NOT NULL, 
	updated_at DATETIME NOT NULL, 
	distributed BOOLEAN DEFAULT 0 NOT NULL, 
	ha BOOLEAN DEFAULT 0 NOT NULL, 
	flavor_id VARCHAR(36), 
	enable_ndp_proxy BOOLEAN DEFAULT 0 NOT NULL, 
	enable_default_route_ecmp BOOLEAN DEFAULT 0 NOT NULL, 
	enable_default_route_bfd BOOLEAN DEFAULT 0 NOT NULL, 
	gateway_vm BOOLEAN DEFAULT 0 NOT NULL, 
	CONSTRAINT fk_routers_flavor_id FOREIGN KEY(flavor_id) REFERENCES network_flavors (id), 
	CONSTRAINT pk_routers PRIMARY KEY (id)
);
CREATE TABLE schema_revisions (
	service VARCHAR(32) NOT NULL, 
	name VARCHAR(128) NOT NULL, 
	PRIMARY KEY (service, name)
);
INSERT INTO "schema_revisions" VALUES('store','0001_events_operations_leases');
INSERT INTO "schema_revisions" VALUES('network','0002_networks_and_what_belongs_to_them');
INSERT INTO "schema_revisions" VALUES('identity','0003_identity');
INSERT INTO "schema_revisions" VALUES('image','0004_images');
INSERT INTO "schema_revisions" VALUES('compute','0005_compute');
INSERT INTO "schema_revisions" VALUES('network','0006_routers_floating_ips_scheduling');
INSERT INTO "schema_revisions" VALUES('compute','0007_aggregates_of_hosts');
INSERT INTO "schema_revisions" VALUES('identity','0008_application_credentials');
INSERT INTO "schema_revisions" VALUES('identity','0009_inherited_grants');
INSERT INTO "schema_revisions" VALUES('identity','0010_credentials');
INSERT INTO "schema_revisions" VALUES('network','0011_addresses_in_their_normal_form');
INSERT INTO "schema_revisions" VALUES('network','0012_quarantined_ports');
INSERT INTO "schema_revisions" VALUES('compute','0013_random_seeds');
INSERT INTO "schema_revisions" VALUES('network','0014_dhcp_ports');
INSERT INTO "schema_revisions" VALUES('store','0015_node_tokens');
INSERT INTO "schema_revisions" VALUES('identity','0016_failed_logins');
INSERT INTO "schema_revisions" VALUES('image','0017_bytes_reserved_for_uploads');
INSERT INTO "schema_revisions" VALUES('compute','0018_hardware');
INSERT INTO "schema_revisions" VALUES('identity','0019_endpoint_groups_and_policies');
INSERT INTO "schema_revisions" VALUES('identity','0020_security_compliance');
INSERT INTO "schema_revisions" VALUES('identity','0021_trusts');
INSERT INTO "schema_revisions" VALUES('identity','0022_unified_limits');
INSERT INTO "schema_revisions" VALUES('identity','0023_access_rules');
INSERT INTO "schema_revisions" VALUES('identity','0024_passcodes_that_were_used');
INSERT INTO "schema_revisions" VALUES('identity','0025_shared_keys');
INSERT INTO "schema_revisions" VALUES('identity','0026_options_of_roles_and_projects');
INSERT INTO "schema_revisions" VALUES('identity','0027_audit_log');
INSERT INTO "schema_revisions" VALUES('identity','0028_oauth1');
INSERT INTO "schema_revisions" VALUES('identity','0029_domain_options');
INSERT INTO "schema_revisions" VALUES('identity','0030_federation');
INSERT INTO "schema_revisions" VALUES('identity','0031_bounded_audit_log');
INSERT INTO "schema_revisions" VALUES('identity','0032_sealed_secrets_and_counted_passcodes');
INSERT INTO "schema_revisions" VALUES('identity','0033_ids_of_directories');
INSERT INTO "schema_revisions" VALUES('image','0019_metadata_definitions');
INSERT INTO "schema_revisions" VALUES('image','0020_tasks_of_images');
INSERT INTO "schema_revisions" VALUES('network','0019_attributes_and_bindings_of_ports');
INSERT INTO "schema_revisions" VALUES('network','0020_address_groups');
INSERT INTO "schema_revisions" VALUES('network','0031_port_forwardings');
INSERT INTO "schema_revisions" VALUES('network','0032_topologies_made_on_demand');
INSERT INTO "schema_revisions" VALUES('network','0033_qos_rules_of_all_kinds');
INSERT INTO "schema_revisions" VALUES('network','0034_default_security_group_rules');
INSERT INTO "schema_revisions" VALUES('network','0035_conntrack_helpers');
INSERT INTO "schema_revisions" VALUES('network','0036_names_of_ports');
INSERT INTO "schema_revisions" VALUES('network','0037_rbac_policies');
INSERT INTO "schema_revisions" VALUES('network','0038_routers_of_high_availability_and_distributed_ones');
INSERT INTO "schema_revisions" VALUES('network','0039_flavors_of_routers');
INSERT INTO "schema_revisions" VALUES('network','0040_metering');
INSERT INTO "schema_revisions" VALUES('network','0041_ranges_of_segments');
INSERT INTO "schema_revisions" VALUES('network','0042_trunks_and_their_subports');
INSERT INTO "schema_revisions" VALUES('network','0043_logs_of_security_groups');
INSERT INTO "schema_revisions" VALUES('network','0044_ndp_proxies');
INSERT INTO "schema_revisions" VALUES('network','0045_several_gateways');
INSERT INTO "schema_revisions" VALUES('network','0046_taps');
INSERT INTO "schema_revisions" VALUES('network','0047_segments_of_networks');
INSERT INTO "schema_revisions" VALUES('network','0048_published_names');
INSERT INTO "schema_revisions" VALUES('network','0049_floating_ips_on_hosts');
INSERT INTO "schema_revisions" VALUES('network','0050_local_ips');
INSERT INTO "schema_revisions" VALUES('network','0051_gateway_machines');
INSERT INTO "schema_revisions" VALUES('network','0052_tags_of_guests');
INSERT INTO "schema_revisions" VALUES('network','0053_l2_gateways');
INSERT INTO "schema_revisions" VALUES('network','0054_hardware_addresses_of_hosts_that_route');
INSERT INTO "schema_revisions" VALUES('network','0055_handovers_of_routers');
INSERT INTO "schema_revisions" VALUES('network','0056_pages_of_ports_by_index');
INSERT INTO "schema_revisions" VALUES('volume','0019_volumes_and_their_types_snapshots_attachments_and_pools');
INSERT INTO "schema_revisions" VALUES('volume','0020_transfers_of_volumes');
INSERT INTO "schema_revisions" VALUES('volume','0021_backups_of_volumes');
INSERT INTO "schema_revisions" VALUES('volume','0022_groups_of_volumes');
INSERT INTO "schema_revisions" VALUES('volume','0023_room_for_long_names_of_pools');
INSERT INTO "schema_revisions" VALUES('compute','0019_rescue_images_of_servers');
INSERT INTO "schema_revisions" VALUES('compute','0020_shelved_servers');
INSERT INTO "schema_revisions" VALUES('compute','0021_migrations_of_servers');
INSERT INTO "schema_revisions" VALUES('compute','0022_passwords_of_guests');
INSERT INTO "schema_revisions" VALUES('compute','0023_live_migrations');
INSERT INTO "schema_revisions" VALUES('compute','0024_console_tokens');
INSERT INTO "schema_revisions" VALUES('compute','0025_volumes_of_servers');
INSERT INTO "schema_revisions" VALUES('compute','0026_boot_volumes_of_servers');
INSERT INTO "schema_revisions" VALUES('compute','0027_resources_told_by_operators');
CREATE TABLE scope_positions (
	scope VARCHAR(255) NOT NULL, 
	position BIGINT NOT NULL, 
	CONSTRAINT pk_scope_positions PRIMARY KEY (scope)
);
CREATE TABLE security_group_ports (
	port_id VARCHAR(36) NOT NULL, 
	security_group_id VARCHAR(36) NOT NULL, 
	CONSTRAINT fk_security_group_ports_port_id FOREIGN KEY(port_id) REFERENCES ports (id) ON DELETE CASCADE, 
	CONSTRAINT fk_security_group_ports_security_group_id FOREIGN KEY(security_group_id) REFERENCES security_groups (id), 
	CONSTRAINT pk_security_group_ports PRIMARY KEY (port_id, security_group_id)
);
CREATE TABLE "security_group_rules" (
	id VARCHAR(36) NOT NULL, 
	project_id VARCHAR(36) NOT NULL, 
	security_group_id VARCHAR(36) NOT NULL, 
	direction VARCHAR(8) NOT NULL, 
	ethertype VARCHAR(8) NOT NULL, 
	protocol VARCHAR(40), 
	port_range_min INTEGER, 
	port_range_max INTEGER, 
	remote_ip_prefix VARCHAR(64), 
	normalized_cidr VARCHAR(64), 
	remote_group_id VARCHAR(36), 
	description VARCHAR(255) NOT NULL, 
	digest VARCHAR(40) NOT NULL, 
	created_at DATETIME NOT NULL, 
	updated_at DATETIME NOT NULL, 
	revision_number INTEGER NOT NULL, 
	remote_address_group_id VARCHAR(36), 
	CONSTRAINT fk_security_group_rules_remote_address_group_id FOREIGN KEY(remote_address_group_id) REFERENCES address_groups (id), 
	CONSTRAINT fk_security_group_rules_remote_group_id FOREIGN KEY(remote_group_id) REFERENCES security_groups (id) ON DELETE CASCADE, 
	CONSTRAINT fk_security_group_rules_security_group_id FOREIGN KEY(security_group_id) REFERENCES security_groups (id) ON DELETE CASCADE, 
	CONSTRAINT pk_security_group_rules PRIMARY KEY (id), 
	CONSTRAINT uq_security_group_rules_security_group_id_digest UNIQUE (security_group_id, digest)
);
CREATE TABLE security_groups (
	id VARCHAR(36) NOT NULL, 
	project_id VARCHAR(36) NOT NULL, 
	name VARCHAR(255) NOT NULL, 
	description VARCHAR(255) NOT NULL, 
	stateful BOOLEAN NOT NULL, 
	shared BOOLEAN NOT NULL, 
	created_at DATETIME NOT NULL, 
	updated_at DATETIME NOT NULL, 
	revision_number INTEGER NOT NULL, 
	CONSTRAINT pk_security_groups PRIMARY KEY (id)
);
CREATE TABLE segments (
	id VARCHAR(36) NOT NULL, 
	network_id VARCHAR(36) NOT NULL, 
	network_type VARCHAR(16) NOT NULL, 
	physical_network VARCHAR(64) NOT NULL, 
	segmentation_id BIGINT NOT NULL, 
	segment_index INTEGER NOT NULL, 
	name VARCHAR(255), 
	description VARCHAR(255) NOT NULL, 
	created_at DATETIME NOT NULL, 
	updated_at DATETIME NOT NULL, 
	revision_number INTEGER NOT NULL, 
	CONSTRAINT fk_segments_network_id FOREIGN KEY(network_id) REFERENCES networks (id) ON DELETE CASCADE, 
	CONSTRAINT pk_segments PRIMARY KEY (id), 
	CONSTRAINT uq_segments_carrier UNIQUE (network_type, physical_network, segmentation_id)
);
CREATE TABLE server_action_events (
	server_id VARCHAR(36) NOT NULL, 
	request_id VARCHAR(64) NOT NULL, 
	event VARCHAR(64) NOT NULL, 
	host VARCHAR(255), 
	result VARCHAR(16), 
	details TEXT, 
	started_at DATETIME NOT NULL, 
	finished_at DATETIME, 
	CONSTRAINT fk_server_action_events_server_id FOREIGN KEY(server_id) REFERENCES servers (id) ON DELETE CASCADE, 
	CONSTRAINT pk_server_action_events PRIMARY KEY (server_id, request_id, event)
);
CREATE TABLE server_actions (
	server_id VARCHAR(36) NOT NULL, 
	request_id VARCHAR(64) NOT NULL, 
	action VARCHAR(64) NOT NULL, 
	user_id VARCHAR(64), 
	project_id VARCHAR(36), 
	message TEXT, 
	started_at DATETIME NOT NULL, 
	updated_at DATETIME NOT NULL, 
	CONSTRAINT fk_server_actions_server_id FOREIGN KEY(server_id) REFERENCES servers (id) ON DELETE CASCADE, 
	CONSTRAINT pk_server_actions PRIMARY KEY (server_id, request_id)
);
CREATE TABLE server_groups (
	id VARCHAR(36) NOT NULL, 
	project_id VARCHAR(36) NOT NULL, 
	user_id VARCHAR(64) NOT NULL, 
	name VARCHAR(255) NOT NULL, 
	policy VARCHAR(32) NOT NULL, 
	rules TEXT NOT NULL, 
	created_at DATETIME NOT NULL, 
	CONSTRAINT pk_server_groups PRIMARY KEY (id)
);
CREATE TABLE server_interfaces (
	port_id VARCHAR(36) NOT NULL, 
	server_id VARCHAR(36) NOT NULL, 
	position INTEGER NOT NULL, 
	made BOOLEAN NOT NULL, 
	tag VARCHAR(64), 
	CONSTRAINT fk_server_interfaces_server_id FOREIGN KEY(server_id) REFERENCES servers (id) ON DELETE CASCADE, 
	CONSTRAINT pk_server_interfaces PRIMARY KEY (port_id)
);
CREATE TABLE server_migrations (
	number INTEGER NOT NULL, 
	id VARCHAR(36) NOT NULL, 
	server_id VARCHAR(36) NOT NULL, 
	kind VARCHAR(16) NOT NULL, 
	status VARCHAR(16) NOT NULL, 
	source_host VARCHAR(255) NOT NULL, 
	source_node VARCHAR(255), 
	dest_host VARCHAR(255), 
	dest_node VARCHAR(255), 
	old_values TEXT NOT NULL, 
	new_values TEXT NOT NULL, 
	held_host VARCHAR(255), 
	held_vcpus INTEGER NOT NULL, 
	held_memory_mib INTEGER NOT NULL, 
	held_disk_gib INTEGER NOT NULL, 
	user_id VARCHAR(64), 
	project_id VARCHAR(36), 
	created_at DATETIME NOT NULL, 
	updated_at DATETIME NOT NULL, progress TEXT, held_resources TEXT, 
	CONSTRAINT fk_server_migrations_server_id FOREIGN KEY(server_id) REFERENCES servers (id) ON DELETE CASCADE, 
	CONSTRAINT pk_server_migrations PRIMARY KEY (number), 
	CONSTRAINT uq_server_migrations_id UNIQUE (id)
);
CREATE TABLE server_volumes (
	attachment_id VARCHAR(36) NOT NULL, 
	server_id VARCHAR(36) NOT NULL, 
	volume_id VARCHAR(36) NOT NULL, 
	target VARCHAR(16) NOT NULL, 
	tag VARCHAR(64), 
	delete_on_termination BOOLEAN NOT NULL, 
	state VARCHAR(16) NOT NULL, 
	created_at DATETIME NOT NULL, bus VARCHAR(8), boot_index INTEGER, 
	CONSTRAINT fk_server_volumes_server_id FOREIGN KEY(server_id) REFERENCES servers (id) ON DELETE CASCADE, 
	CONSTRAINT pk_server_volumes PRIMARY KEY (attachment_id), 
	CONSTRAINT uq_server_volumes_server_id_target UNIQUE (server_id, target)
);
CREATE TABLE servers (
	id VARCHAR(36) NOT NULL, 
	project_id VARCHAR(36) NOT NULL, 
	user_id VARCHAR(64) NOT NULL, 
	name VARCHAR(255) NOT NULL, 
	hostname VARCHAR(255) NOT NULL, 
	description VARCHAR(255), 
	vm_state VARCHAR(32) NOT NULL, 
	task_state VARCHAR(32), 
	power_state INTEGER NOT NULL, 
	wanted VARCHAR(16) NOT NULL, 
	generation INTEGER NOT NULL, 
	in_place BOOLEAN NOT NULL, 
	host VARCHAR(255), 
	node VARCHAR(255), 
	availability_zone VARCHAR(255), 
	pinned_availability_zone VARCHAR(255), 
	image_id VARCHAR(36), 
	flavor_id VARCHAR(255) NOT NULL, 
	flavor TEXT NOT NULL, 
	vcpus INTEGER NOT NULL, 
	memory_mib INTEGER NOT NULL, 
	disk_gib INTEGER NOT NULL, 
	key_name VARCHAR(255), 
	key_type VARCHAR(8), 
	key_data TEXT, 
	user_data TEXT, 
	config_drive BOOLEAN NOT NULL, 
	metadata TEXT NOT NULL, 
	files TEXT, 
	password TEXT, 
	disk_config VARCHAR(8) NOT NULL, 
	access_ip_v4 VARCHAR(64), 
	access_ip_v6 VARCHAR(64), 
	launch_index INTEGER NOT NULL, 
	reservation_id VARCHAR(32) NOT NULL, 
	group_id VARCHAR(36), 
	locked_by VARCHAR(8), 
	locked_reason VARCHAR(255), 
	quarantined TEXT, 
	fault TEXT, 
	task_since DATETIME, 
	launched_at DATETIME, 
	terminated_at DATETIME, 
	deleted_at DATETIME, 
	created_at DATETIME NOT NULL, 
	updated_at DATETIME NOT NULL, random_seed VARCHAR(64), hardware TEXT, rescue_image_id VARCHAR(36), shelved_image_id VARCHAR(36), rested_at DATETIME, kept_host VARCHAR(255), carried TEXT, 
	CONSTRAINT pk_servers PRIMARY KEY (id)
);
CREATE TABLE service_profiles (
	id VARCHAR(36) NOT NULL, 
	description VARCHAR(255) NOT NULL, 
	driver VARCHAR(1024) NOT NULL, 
	metainfo VARCHAR(4096) NOT NULL, 
	enabled BOOLEAN NOT NULL, 
	CONSTRAINT pk_service_profiles PRIMARY KEY (id)
);
CREATE TABLE service_providers (
	id VARCHAR(64) NOT NULL, 
	auth_url VARCHAR(256) NOT NULL, 
	sp_url VARCHAR(256) NOT NULL, 
	description TEXT, 
	enabled BOOLEAN NOT NULL, 
	relay_state_prefix VARCHAR(256), 
	CONSTRAINT pk_service_providers PRIMARY KEY (id)
);
CREATE TABLE services (
	id VARCHAR(36) NOT NULL, 
	type VARCHAR(255) NOT NULL, 
	name VARCHAR(255) NOT NULL, 
	description TEXT NOT NULL, 
	enabled BOOLEAN NOT NULL, 
	extra TEXT, 
	CONSTRAINT pk_services PRIMARY KEY (id)
);
CREATE TABLE shared_keys (
	purpose VARCHAR(16) NOT NULL, 
	id VARCHAR(16) NOT NULL, 
	state VARCHAR(16) NOT NULL, 
	sealed TEXT NOT NULL, 
	created_at DATETIME NOT NULL, 
	retired_at DATETIME, 
	CONSTRAINT pk_shared_keys PRIMARY KEY (purpose, id)
);
CREATE TABLE subnetpools (
	id VARCHAR(36) NOT NULL, 
	project_id VARCHAR(36) NOT NULL, 
	name VARCHAR(255) NOT NULL, 
	ip_version INTEGER NOT NULL, 
	prefixes TEXT NOT NULL, 
	default_prefixlen INTEGER NOT NULL, 
	min_prefixlen INTEGER NOT NULL, 
	max_prefixlen INTEGER NOT NULL, 
	default_quota INTEGER, 
	is_default BOOLEAN NOT NULL, 
	shared BOOLEAN NOT NULL, 
	address_scope_id VARCHAR(36), 
	description VARCHAR(255) NOT NULL, 
	revision_number INTEGER NOT NULL, 
	created_at DATETIME NOT NULL, 
	updated_at DATETIME NOT NULL, 
	CONSTRAINT fk_subnetpools_address_scope_id FOREIGN KEY(address_scope_id) REFERENCES address_scopes (id), 
	CONSTRAINT pk_subnetpools PRIMARY KEY (id)
);
CREATE TABLE "subnets" (
	id VARCHAR(36) NOT NULL, 
	project_id VARCHAR(36) NOT NULL, 
	network_id VARCHAR(36) NOT NULL, 
	name VARCHAR(255) NOT NULL, 
	description VARCHAR(255) NOT NULL, 
	ip_version INTEGER NOT NULL, 
	cidr VARCHAR(64) NOT NULL, 
	gateway_ip VARCHAR(64), 
	enable_dhcp BOOLEAN NOT NULL, 
	ipv6_ra_mode VARCHAR(16), 
	ipv6_address_mode VARCHAR(16), 
	subnetpool_id VARCHAR(36), 
	dns_publish_fixed_ip BOOLEAN NOT NULL, 
	allocation_pools TEXT NOT NULL, 
	dns_nameservers TEXT NOT NULL, 
	host_routes TEXT NOT NULL, 
	service_types TEXT NOT NULL, 
	created_at DATETIME NOT NULL, 
	updated_at DATETIME NOT NULL, 
	revision_number INTEGER NOT NULL, 
	segment_id VARCHAR(36), 
	CONSTRAINT fk_subnets_network_id FOREIGN KEY(network_id) REFERENCES networks (id), 
	CONSTRAINT fk_subnets_segment_id FOREIGN KEY(segment_id) REFERENCES segments (id), 
	CONSTRAINT pk_subnets PRIMARY KEY (id)
);
CREATE TABLE subports (
	port_id VARCHAR(36) NOT NULL, 
	trunk_id VARCHAR(36) NOT NULL, 
	segmentation_type VARCHAR(32) NOT NULL, 
	segmentation_id INTEGER NOT NULL, 
	CONSTRAINT fk_subports_port_id FOREIGN KEY(port_id) REFERENCES ports (id), 
	CONSTRAINT fk_subports_trunk_id FOREIGN KEY(trunk_id) REFERENCES trunks (id) ON DELETE CASCADE, 
	CONSTRAINT pk_subports PRIMARY KEY (port_id), 
	CONSTRAINT uq_subports_trunk_id_segmentation_type_segmentation_id UNIQUE (trunk_id, segmentation_type, segmentation_id)
);
CREATE TABLE tap_flows (
	id VARCHAR(36) NOT NULL, 
	project_id VARCHAR(36) NOT NULL, 
	name VARCHAR(255) NOT NULL, 
	description VARCHAR(255) NOT NULL, 
	tap_service_id VARCHAR(36) NOT NULL, 
	source_port VARCHAR(36) NOT NULL, 
	direction VARCHAR(4) NOT NULL, 
	vlan_filter VARCHAR(1024), 
	status VARCHAR(16) NOT NULL, 
	CONSTRAINT fk_tap_flows_source_port FOREIGN KEY(source_port) REFERENCES ports (id) ON DELETE CASCADE, 
	CONSTRAINT fk_tap_flows_tap_service_id FOREIGN KEY(tap_service_id) REFERENCES tap_services (id) ON DELETE CASCADE, 
	CONSTRAINT pk_tap_flows PRIMARY KEY (id)
);
CREATE TABLE tap_mirrors (
	id VARCHAR(36) NOT NULL, 
	project_id VARCHAR(36) NOT NULL, 
	name VARCHAR(255) NOT NULL, 
	description VARCHAR(255) NOT NULL, 
	port_id VARCHAR(36) NOT NULL, 
	directions TEXT NOT NULL, 
	remote_ip VARCHAR(64) NOT NULL, 
	mirror_type VARCHAR(16) NOT NULL, 
	CONSTRAINT fk_tap_mirrors_port_id FOREIGN KEY(port_id) REFERENCES ports (id) ON DELETE CASCADE, 
	CONSTRAINT pk_tap_mirrors PRIMARY KEY (id)
);
CREATE TABLE tap_services (
	id VARCHAR(36) NOT NULL, 
	project_id VARCHAR(36) NOT NULL, 
	name VARCHAR(255) NOT NULL, 
	description VARCHAR(255) NOT NULL, 
	port_id VARCHAR(36) NOT NULL, 
	status VARCHAR(16) NOT NULL, 
	number INTEGER NOT NULL, 
	CONSTRAINT fk_tap_services_port_id FOREIGN KEY(port_id) REFERENCES ports (id) ON DELETE CASCADE, 
	CONSTRAINT pk_tap_services PRIMARY KEY (id), 
	CONSTRAINT uq_tap_services_number UNIQUE (number)
);
CREATE TABLE "totp_guesses" (
	user_id VARCHAR(64) NOT NULL, 
	proof BOOLEAN NOT NULL, 
	step BIGINT NOT NULL, 
	guesses INTEGER NOT NULL, 
	CONSTRAINT fk_totp_guesses_user_id FOREIGN KEY(user_id) REFERENCES users (id) ON DELETE CASCADE, 
	CONSTRAINT pk_totp_guesses PRIMARY KEY (user_id, proof)
);
CREATE TABLE trunks (
	id VARCHAR(36) NOT NULL, 
	project_id VARCHAR(36) NOT NULL, 
	name VARCHAR(255) NOT NULL, 
	port_id VARCHAR(36) NOT NULL, 
	admin_state_up BOOLEAN NOT NULL, 
	status VARCHAR(16) NOT NULL, 
	description VARCHAR(255) NOT NULL, 
	revision_number INTEGER NOT NULL, 
	created_at DATETIME NOT NULL, 
	updated_at DATETIME NOT NULL, 
	CONSTRAINT fk_trunks_port_id FOREIGN KEY(port_id) REFERENCES ports (id), 
	CONSTRAINT pk_trunks PRIMARY KEY (id), 
	CONSTRAINT uq_trunks_port_id UNIQUE (port_id)
);
CREATE TABLE trust_roles (
	trust_id VARCHAR(36) NOT NULL, 
	role_id VARCHAR(36) NOT NULL, 
	CONSTRAINT fk_trust_roles_trust_id FOREIGN KEY(trust_id) REFERENCES trusts (id) ON DELETE CASCADE, 
	CONSTRAINT pk_trust_roles PRIMARY KEY (trust_id, role_id)
);
CREATE TABLE "trusts" (
	id VARCHAR(36) NOT NULL, 
	trustor_user_id VARCHAR(64) NOT NULL, 
	trustee_user_id VARCHAR(64) NOT NULL, 
	project_id VARCHAR(36), 
	impersonation BOOLEAN NOT NULL, 
	expires_at DATETIME, 
	remaining_uses INTEGER, 
	redelegation_count INTEGER NOT NULL, 
	redelegated_trust_id VARCHAR(36), 
	extra TEXT, 
	CONSTRAINT fk_trusts_project_id FOREIGN KEY(project_id) REFERENCES projects (id) ON DELETE CASCADE, 
	CONSTRAINT fk_trusts_redelegated_trust_id FOREIGN KEY(redelegated_trust_id) REFERENCES trusts (id) ON DELETE CASCADE, 
	CONSTRAINT fk_trusts_trustee_user_id FOREIGN KEY(trustee_user_id) REFERENCES users (id) ON DELETE CASCADE, 
	CONSTRAINT fk_trusts_trustor_user_id FOREIGN KEY(trustor_user_id) REFERENCES users (id) ON DELETE CASCADE, 
	CONSTRAINT pk_trusts PRIMARY KEY (id), 
	CONSTRAINT uq_trusts_alike UNIQUE (trustor_user_id, trustee_user_id, project_id, impersonation, expires_at)
);
CREATE TABLE "users" (
	id VARCHAR(64) NOT NULL, 
	name VARCHAR(255) NOT NULL, 
	domain_id VARCHAR(36) NOT NULL, 
	enabled BOOLEAN NOT NULL, 
	default_project_id VARCHAR(36), 
	password_hash TEXT, 
	tokens_after DATETIME NOT NULL, 
	extra TEXT, 
	failed_auth_count INTEGER DEFAULT '0' NOT NULL, 
	failed_auth_at DATETIME, 
	password_created_at DATETIME, 
	password_expires_at DATETIME, 
	password_self_service BOOLEAN DEFAULT 0 NOT NULL, 
	created_at DATETIME, 
	last_active_at DATETIME, 
	options TEXT DEFAULT '{}' NOT NULL, 
	origin VARCHAR(64) DEFAULT ('') NOT NULL, local_id VARCHAR(255), gone_at DATETIME, 
	CONSTRAINT fk_users_domain_id FOREIGN KEY(domain_id) REFERENCES projects (id), 
	CONSTRAINT pk_users PRIMARY KEY (id), 
	CONSTRAINT uq_users_domain_id_name_origin UNIQUE (domain_id, name, origin)
);
CREATE TABLE volume_attachments (
	id VARCHAR(36) NOT NULL, 
	volume_id VARCHAR(36) NOT NULL, 
	project_id VARCHAR(36) NOT NULL, 
	server_id VARCHAR(36), 
	host VARCHAR(255), 
	mountpoint VARCHAR(255), 
	mode VARCHAR(4) NOT NULL, 
	status VARCHAR(32) NOT NULL, 
	connector TEXT, 
	connection TEXT, 
	error TEXT, 
	attached_at DATETIME, 
	created_at DATETIME NOT NULL, 
	updated_at DATETIME, 
	CONSTRAINT fk_volume_attachments_volume_id FOREIGN KEY(volume_id) REFERENCES volumes (id), 
	CONSTRAINT pk_volume_attachments PRIMARY KEY (id)
);
CREATE TABLE volume_backups (
	id VARCHAR(36) NOT NULL, 
	project_id VARCHAR(36) NOT NULL, 
	user_id VARCHAR(64) NOT NULL, 
	name VARCHAR(255), 
	description VARCHAR(255), 
	status VARCHAR(32) NOT NULL, 
	fail_reason TEXT, 
	size_gib INTEGER NOT NULL, 
	object_count INTEGER NOT NULL, 
	availability_zone VARCHAR(255), 
	container VARCHAR(255) NOT NULL, 
	volume_id VARCHAR(36) NOT NULL, 
	snapshot_id VARCHAR(36), 
	parent_id VARCHAR(36), 
	restoring_to VARCHAR(36), 
	place VARCHAR(300) NOT NULL, 
	location VARCHAR(300) NOT NULL, 
	stored_as VARCHAR(36) NOT NULL, 
	node VARCHAR(255) NOT NULL, 
	metadata TEXT NOT NULL, 
	volume_facts TEXT NOT NULL, 
	data_timestamp DATETIME NOT NULL, 
	created_at DATETIME NOT NULL, 
	updated_at DATETIME, 
	CONSTRAINT pk_volume_backups PRIMARY KEY (id)
);
CREATE TABLE volume_default_types (
	project_id VARCHAR(36) NOT NULL, 
	volume_type_id VARCHAR(36) NOT NULL, 
	CONSTRAINT fk_volume_default_types_volume_type_id FOREIGN KEY(volume_type_id) REFERENCES volume_types (id) ON DELETE CASCADE, 
	CONSTRAINT pk_volume_default_types PRIMARY KEY (project_id)
);
CREATE TABLE volume_group_snapshots (
	id VARCHAR(36) NOT NULL, 
	group_id VARCHAR(36) NOT NULL, 
	project_id VARCHAR(36) NOT NULL, 
	user_id VARCHAR(64) NOT NULL, 
	group_type_id VARCHAR(36) NOT NULL, 
	name VARCHAR(255), 
	description VARCHAR(255), 
	status VARCHAR(32) NOT NULL, 
	created_at DATETIME NOT NULL, 
	updated_at DATETIME, 
	CONSTRAINT fk_volume_group_snapshots_group_id FOREIGN KEY(group_id) REFERENCES volume_groups (id), 
	CONSTRAINT pk_volume_group_snapshots PRIMARY KEY (id)
);
CREATE TABLE volume_group_types (
	id VARCHAR(36) NOT NULL, 
	name VARCHAR(255) NOT NULL, 
	description VARCHAR(255), 
	is_public BOOLEAN NOT NULL, 
	group_specs TEXT NOT NULL, 
	created_at DATETIME NOT NULL, 
	updated_at DATETIME, 
	CONSTRAINT pk_volume_group_types PRIMARY KEY (id), 
	CONSTRAINT uq_volume_group_types_name UNIQUE (name)
);
CREATE TABLE volume_groups (
	id VARCHAR(36) NOT NULL, 
	project_id VARCHAR(36) NOT NULL, 
	user_id VARCHAR(64) NOT NULL, 
	name VARCHAR(255), 
	description VARCHAR(255), 
	status VARCHAR(32) NOT NULL, 
	availability_zone VARCHAR(255), 
	group_type_id VARCHAR(36) NOT NULL, 
	volume_types TEXT NOT NULL, 
	group_snapshot_id VARCHAR(36), 
	source_group_id VARCHAR(36), 
	host VARCHAR(400), 
	node VARCHAR(255), 
	created_at DATETIME NOT NULL, 
	updated_at DATETIME, 
	CONSTRAINT fk_volume_groups_group_type_id FOREIGN KEY(group_type_id) REFERENCES volume_group_types (id), 
	CONSTRAINT pk_volume_groups PRIMARY KEY (id)
);
CREATE TABLE volume_messages (
	id VARCHAR(36) NOT NULL, 
	project_id VARCHAR(36) NOT NULL, 
	request_id VARCHAR(64), 
	resource_type VARCHAR(64) NOT NULL, 
	resource_uuid VARCHAR(36), 
	event_id VARCHAR(255) NOT NULL, 
	user_message TEXT NOT NULL, 
	message_level VARCHAR(16) NOT NULL, 
	created_at DATETIME NOT NULL, 
	guaranteed_until DATETIME NOT NULL, 
	CONSTRAINT pk_volume_messages PRIMARY KEY (id)
);
CREATE TABLE volume_pools (
	node VARCHAR(255) NOT NULL, 
	name VARCHAR(64) NOT NULL, 
	driver VARCHAR(64) NOT NULL, 
	backend_name VARCHAR(255) NOT NULL, 
	protocol VARCHAR(64) NOT NULL, 
	total_bytes BIGINT NOT NULL, 
	free_bytes BIGINT NOT NULL, 
	thin BOOLEAN NOT NULL, 
	over_subscription_ratio FLOAT NOT NULL, 
	reserved_percentage INTEGER NOT NULL, 
	multiattach BOOLEAN NOT NULL, 
	backups BOOLEAN NOT NULL, 
	shared VARCHAR(64) NOT NULL, 
	availability_zone VARCHAR(255) NOT NULL, 
	disk_formats TEXT NOT NULL, 
	capabilities TEXT NOT NULL, 
	error TEXT, 
	updated_at DATETIME NOT NULL, backup_place VARCHAR(64) DEFAULT '' NOT NULL, 
	CONSTRAINT pk_volume_pools PRIMARY KEY (node, name)
);
CREATE TABLE volume_qos_specs (
	id VARCHAR(36) NOT NULL, 
	name VARCHAR(255) NOT NULL, 
	consumer VARCHAR(16) NOT NULL, 
	specs TEXT NOT NULL, 
	created_at DATETIME NOT NULL, 
	CONSTRAINT pk_volume_qos_specs PRIMARY KEY (id), 
	CONSTRAINT uq_volume_qos_specs_name UNIQUE (name)
);
CREATE TABLE "volume_services" (
	id VARCHAR(36) NOT NULL, 
	host VARCHAR(400) NOT NULL, 
	binary VARCHAR(64) NOT NULL, 
	disabled BOOLEAN NOT NULL, 
	disabled_reason VARCHAR(255), 
	frozen BOOLEAN NOT NULL, 
	reported_at DATETIME NOT NULL, 
	created_at DATETIME NOT NULL, 
	CONSTRAINT pk_volume_services PRIMARY KEY (id), 
	CONSTRAINT uq_volume_services_host_binary UNIQUE (host, binary)
);
CREATE TABLE volume_snapshots (
	id VARCHAR(36) NOT NULL, 
	volume_id VARCHAR(36) NOT NULL, 
	project_id VARCHAR(36) NOT NULL, 
	user_id VARCHAR(64) NOT NULL, 
	name VARCHAR(255), 
	description VARCHAR(255), 
	size_gib INTEGER NOT NULL, 
	status VARCHAR(32) NOT NULL, 
	progress VARCHAR(255), 
	metadata TEXT NOT NULL, 
	group_snapshot_id VARCHAR(36), 
	consumes_quota BOOLEAN NOT NULL, 
	made BOOLEAN NOT NULL, 
	created_at DATETIME NOT NULL, 
	updated_at DATETIME, 
	CONSTRAINT fk_volume_snapshots_volume_id FOREIGN KEY(volume_id) REFERENCES volumes (id), 
	CONSTRAINT pk_volume_snapshots PRIMARY KEY (id)
);
CREATE TABLE volume_transfers (
	id VARCHAR(36) NOT NULL, 
	volume_id VARCHAR(36) NOT NULL, 
	name VARCHAR(255), 
	salt VARCHAR(32) NOT NULL, 
	key_hash VARCHAR(64) NOT NULL, 
	no_snapshots BOOLEAN NOT NULL, 
	source_project_id VARCHAR(36) NOT NULL, 
	created_at DATETIME NOT NULL, 
	CONSTRAINT fk_volume_transfers_volume_id FOREIGN KEY(volume_id) REFERENCES volumes (id) ON DELETE CASCADE, 
	CONSTRAINT pk_volume_transfers PRIMARY KEY (id), 
	CONSTRAINT uq_volume_transfers_volume_id UNIQUE (volume_id)
);
CREATE TABLE volume_type_encryption (
	volume_type_id VARCHAR(36) NOT NULL, 
	id VARCHAR(36) NOT NULL, 
	provider VARCHAR(255) NOT NULL, 
	control_location VARCHAR(16) NOT NULL, 
	cipher VARCHAR(255), 
	key_size INTEGER, 
	created_at DATETIME NOT NULL, 
	updated_at DATETIME, 
	CONSTRAINT fk_volume_type_encryption_volume_type_id FOREIGN KEY(volume_type_id) REFERENCES volume_types (id) ON DELETE CASCADE, 
	CONSTRAINT pk_volume_type_encryption PRIMARY KEY (volume_type_id), 
	CONSTRAINT uq_volume_type_encryption_id UNIQUE (id)
);
CREATE TABLE volume_type_projects (
	volume_type_id VARCHAR(36) NOT NULL, 
	project_id VARCHAR(36) NOT NULL, 
	CONSTRAINT fk_volume_type_projects_volume_type_id FOREIGN KEY(volume_type_id) REFERENCES volume_types (id) ON DELETE CASCADE, 
	CONSTRAINT pk_volume_type_projects PRIMARY KEY (volume_type_id, project_id)
);
CREATE TABLE volume_types (
	id VARCHAR(36) NOT NULL, 
	name VARCHAR(255) NOT NULL, 
	description VARCHAR(255), 
	is_public BOOLEAN NOT NULL, 
	extra_specs TEXT NOT NULL, 
	qos_specs_id VARCHAR(36), 
	created_at DATETIME NOT NULL, 
	updated_at DATETIME, 
	CONSTRAINT fk_volume_types_qos_specs_id FOREIGN KEY(qos_specs_id) REFERENCES volume_qos_specs (id), 
	CONSTRAINT pk_volume_types PRIMARY KEY (id), 
	CONSTRAINT uq_volume_types_name UNIQUE (name)
);
CREATE TABLE "volumes" (
	id VARCHAR(36) NOT NULL, 
	project_id VARCHAR(36) NOT NULL, 
	user_id VARCHAR(64) NOT NULL, 
	name VARCHAR(255), 
	description VARCHAR(255), 
	size_gib INTEGER NOT NULL, 
	wanted_size_gib INTEGER, 
	status VARCHAR(32) NOT NULL, 
	previous_status VARCHAR(32), 
	migration_status VARCHAR(32), 
	availability_zone VARCHAR(255), 
	volume_type_id VARCHAR(36), 
	snapshot_id VARCHAR(36), 
	source_volid VARCHAR(36), 
	group_id VARCHAR(36), 
	bootable BOOLEAN NOT NULL, 
	multiattach BOOLEAN NOT NULL, 
	read_only BOOLEAN, 
	encrypted BOOLEAN NOT NULL, 
	encryption_key_id VARCHAR(36), 
	metadata TEXT NOT NULL, 
	image_metadata TEXT, 
	host VARCHAR(400), 
	node VARCHAR(255), 
	pool VARCHAR(64), 
	consumes_quota BOOLEAN NOT NULL, 
	made BOOLEAN NOT NULL, 
	created_at DATETIME NOT NULL, 
	updated_at DATETIME, 
	CONSTRAINT fk_volumes_volume_type_id FOREIGN KEY(volume_type_id) REFERENCES volume_types (id), 
	CONSTRAINT pk_volumes PRIMARY KEY (id)
);
CREATE INDEX ix_address_groups_project_id ON address_groups (project_id);
CREATE INDEX ix_address_scopes_project_id ON address_scopes (project_id);
CREATE INDEX ix_aggregate_hosts_host ON aggregate_hosts (host);
CREATE INDEX ix_allocations_host ON allocations (host);
CREATE INDEX ix_application_credential_access_rules_access_rule_id ON application_credential_access_rules (access_rule_id);
CREATE INDEX ix_application_credential_roles_role_id ON application_credential_roles (role_id);
CREATE INDEX ix_application_credentials_project_id ON application_credentials (project_id);
CREATE INDEX ix_audit_log_event_time ON audit_log (event_time);
CREATE INDEX ix_audit_log_initiator_id ON audit_log (initiator_id);
CREATE INDEX ix_audit_log_outcome_event_time ON audit_log (outcome, event_time);
CREATE INDEX ix_audit_log_request_id ON audit_log (request_id);
CREATE INDEX ix_audit_log_target_id ON audit_log (target_id);
CREATE INDEX ix_auto_allocated_topologies_network_id ON auto_allocated_topologies (network_id);
CREATE INDEX ix_auto_allocated_topologies_router_id ON auto_allocated_topologies (router_id);
CREATE INDEX ix_console_tokens_ends_at ON console_tokens (ends_at);
CREATE INDEX ix_console_tokens_server_id ON console_tokens (server_id);
CREATE INDEX ix_credentials_project_id ON credentials (project_id);
CREATE INDEX ix_credentials_user_id ON credentials (user_id);
CREATE INDEX ix_default_security_group_rules_digest ON default_security_group_rules (digest);
CREATE INDEX ix_default_security_group_rules_remote_address_group_id ON default_security_group_rules (remote_address_group_id);
CREATE INDEX ix_default_security_group_rules_remote_to_group_id ON default_security_group_rules (remote_to_group_id);
CREATE INDEX ix_dhcp_bindings_agent_id ON dhcp_bindings (agent_id);
CREATE INDEX ix_dhcp_ports_network_id ON dhcp_ports (network_id);
CREATE INDEX ix_dns_records_resource_id ON dns_records (resource_id);
CREATE INDEX ix_endpoints_region_id ON endpoints (region_id);
CREATE INDEX ix_endpoints_service_id ON endpoints (service_id);
CREATE INDEX ix_events_request_id ON events (request_id);
CREATE INDEX ix_events_resource_id ON events (resource_id);
CREATE INDEX ix_expiring_memberships_group_id ON expiring_memberships (group_id);
CREATE INDEX ix_flavor_access_project_id ON flavor_access (project_id);
CREATE INDEX ix_flavor_service_profiles_service_profile_id ON flavor_service_profiles (service_profile_id);
CREATE INDEX ix_floating_ip_gateways_network_id ON floating_ip_gateways (network_id);
CREATE INDEX ix_floating_ips_floating_network_id ON floating_ips (floating_network_id);
CREATE INDEX ix_floating_ips_project_id ON floating_ips (project_id);
CREATE INDEX ix_floating_ips_qos_policy_id ON floating_ips (qos_policy_id);
CREATE INDEX ix_floating_ips_router_id ON floating_ips (router_id);
CREATE INDEX ix_grants_role_id ON grants (role_id);
CREATE INDEX ix_grants_target_id ON grants (target_id);
CREATE INDEX ix_group_members_group_id ON group_members (group_id);
CREATE INDEX ix_identity_provider_remote_ids_idp_id ON identity_provider_remote_ids (idp_id);
CREATE INDEX ix_identity_providers_domain_id ON identity_providers (domain_id);
CREATE INDEX ix_image_members_member_id ON image_members (member_id);
CREATE INDEX ix_image_properties_name ON image_properties (name);
CREATE INDEX ix_image_tasks_expires_at ON image_tasks (expires_at);
CREATE INDEX ix_image_tasks_image_id ON image_tasks (image_id);
CREATE INDEX ix_images_created_at ON images (created_at);
CREATE INDEX ix_images_owner ON images (owner);
CREATE INDEX ix_images_visibility ON images (visibility);
CREATE INDEX ix_implied_roles_implied_role_id ON implied_roles (implied_role_id);
CREATE INDEX ix_ip_allocations_port_id ON ip_allocations (port_id);
CREATE INDEX ix_l2_gateway_connections_network_id ON l2_gateway_connections (network_id);
CREATE INDEX ix_l2_gateway_connections_project_id ON l2_gateway_connections (project_id);
CREATE INDEX ix_l2_gateway_ports_device_name ON l2_gateway_ports (device_name);
CREATE INDEX ix_l2_gateways_project_id ON l2_gateways (project_id);
CREATE INDEX ix_limits_owner_id ON limits (owner_id);
CREATE INDEX ix_local_ip_associations_fixed_port_id ON local_ip_associations (fixed_port_id);
CREATE INDEX ix_local_ips_local_port_id ON local_ips (local_port_id);
CREATE INDEX ix_local_ips_project_id ON local_ips (project_id);
CREATE INDEX ix_logs_project_id ON logs (project_id);
CREATE INDEX ix_logs_resource_id ON logs (resource_id);
CREATE INDEX ix_logs_target_id ON logs (target_id);
CREATE INDEX ix_metadef_namespaces_owner ON metadef_namespaces (owner);
CREATE INDEX ix_metering_counters_router_id ON metering_counters (router_id);
CREATE INDEX ix_metering_label_rules_metering_label_id ON metering_label_rules (metering_label_id);
CREATE INDEX ix_metering_labels_project_id ON metering_labels (project_id);
CREATE INDEX ix_ndp_proxies_port_id ON ndp_proxies (port_id);
CREATE INDEX ix_ndp_proxies_project_id ON ndp_proxies (project_id);
CREATE INDEX ix_networks_project_id ON networks (project_id);
CREATE INDEX ix_networks_qos_policy_id ON networks (qos_policy_id);
CREATE INDEX ix_oauth1_access_tokens_consumer_id ON oauth1_access_tokens (consumer_id);
CREATE INDEX ix_oauth1_access_tokens_project_id ON oauth1_access_tokens (project_id);
CREATE INDEX ix_oauth1_access_tokens_user_id ON oauth1_access_tokens (user_id);
CREATE INDEX ix_oauth1_nonces_expires_at ON oauth1_nonces (expires_at);
CREATE INDEX ix_oauth1_request_tokens_consumer_id ON oauth1_request_tokens (consumer_id);
CREATE INDEX ix_oauth1_request_tokens_expires_at ON oauth1_request_tokens (expires_at);
CREATE INDEX ix_oauth1_request_tokens_project_id ON oauth1_request_tokens (project_id);
CREATE INDEX ix_oauth1_request_tokens_user_id ON oauth1_request_tokens (user_id);
CREATE INDEX ix_old_passwords_user_id ON old_passwords (user_id);
CREATE INDEX ix_operations_resource_id ON operations (resource_id);
CREATE INDEX ix_physical_addresses_network_id ON physical_addresses (network_id);
CREATE INDEX ix_physical_switches_host ON physical_switches (host);
CREATE INDEX ix_placement_allocations_provider_id ON placement_allocations (provider_id);
CREATE INDEX ix_placement_consumers_project_id ON placement_consumers (project_id);
CREATE INDEX ix_placement_providers_root_id ON placement_providers (root_id);
CREATE INDEX ix_policy_associations_endpoint_id ON policy_associations (endpoint_id);
CREATE INDEX ix_policy_associations_policy_id ON policy_associations (policy_id);
CREATE INDEX ix_policy_associations_region_id ON policy_associations (region_id);
CREATE INDEX ix_policy_associations_service_id ON policy_associations (service_id);
CREATE INDEX ix_port_bindings_host ON port_bindings (host);
CREATE INDEX ix_ports_device_id ON ports (device_id);
CREATE INDEX ix_ports_host ON ports (host);
CREATE INDEX ix_ports_network_id_host ON ports (network_id, host);
CREATE INDEX ix_ports_network_id_id ON ports (network_id, id);
CREATE INDEX ix_ports_project_id_id ON ports (project_id, id);
CREATE INDEX ix_ports_qos_policy_id ON ports (qos_policy_id);
CREATE INDEX ix_project_endpoint_groups_endpoint_group_id ON project_endpoint_groups (endpoint_group_id);
CREATE INDEX ix_project_endpoints_endpoint_id ON project_endpoints (endpoint_id);
CREATE INDEX ix_projects_domain_id ON projects (domain_id);
CREATE INDEX ix_projects_parent_id ON projects (parent_id);
CREATE INDEX ix_qos_policies_project_id ON qos_policies (project_id);
CREATE INDEX ix_qos_router_policies_qos_policy_id ON qos_router_policies (qos_policy_id);
CREATE INDEX ix_rbac_policies_address_group_id ON rbac_policies (address_group_id);
CREATE INDEX ix_rbac_policies_address_scope_id ON rbac_policies (address_scope_id);
CREATE INDEX ix_rbac_policies_network_id ON rbac_policies (network_id);
CREATE INDEX ix_rbac_policies_project_id ON rbac_policies (project_id);
CREATE INDEX ix_rbac_policies_qos_policy_id ON rbac_policies (qos_policy_id);
CREATE INDEX ix_rbac_policies_security_group_id ON rbac_policies (security_group_id);
CREATE INDEX ix_rbac_policies_subnetpool_id ON rbac_policies (subnetpool_id);
CREATE INDEX ix_rbac_policies_target_project_action ON rbac_policies (target_project, action);
CREATE INDEX ix_regions_parent_region_id ON regions (parent_region_id);
CREATE INDEX ix_registered_limits_region_id ON registered_limits (region_id);
CREATE INDEX ix_resource_tags_tag ON resource_tags (tag);
CREATE INDEX ix_revocations_expires_at ON revocations (expires_at);
CREATE INDEX ix_router_bindings_agent_id ON router_bindings (agent_id);
CREATE INDEX ix_router_bindings_ha_port_id ON router_bindings (ha_port_id);
CREATE INDEX ix_router_handovers_agent_id ON router_handovers (agent_id);
CREATE INDEX ix_router_ports_router_id ON router_ports (router_id);
CREATE INDEX ix_routers_flavor_id ON routers (flavor_id);
CREATE INDEX ix_routers_project_id ON routers (project_id);
CREATE INDEX ix_security_group_ports_security_group_id ON security_group_ports (security_group_id);
CREATE INDEX ix_security_group_rules_project_id ON security_group_rules (project_id);
CREATE INDEX ix_security_group_rules_remote_address_group_id ON security_group_rules (remote_address_group_id);
CREATE INDEX ix_security_group_rules_remote_group_id ON security_group_rules (remote_group_id);
CREATE INDEX ix_security_groups_project_id ON security_groups (project_id);
CREATE INDEX ix_segments_network_id ON segments (network_id);
CREATE INDEX ix_server_groups_project_id ON server_groups (project_id);
CREATE INDEX ix_server_interfaces_server_id ON server_interfaces (server_id);
CREATE INDEX ix_server_migrations_held_host ON server_migrations (held_host);
CREATE INDEX ix_server_migrations_server_id ON server_migrations (server_id);
CREATE INDEX ix_server_migrations_updated_at ON server_migrations (updated_at);
CREATE INDEX ix_server_volumes_server_id ON server_volumes (server_id);
CREATE INDEX ix_server_volumes_volume_id ON server_volumes (volume_id);
CREATE INDEX ix_servers_flavor_id ON servers (flavor_id);
CREATE INDEX ix_servers_group_id ON servers (group_id);
CREATE INDEX ix_servers_host ON servers (host);
CREATE INDEX ix_servers_kept_host ON servers (kept_host);
CREATE INDEX ix_servers_project_id_deleted_at ON servers (project_id, deleted_at);
CREATE INDEX ix_servers_reservation_id ON servers (reservation_id);
CREATE INDEX ix_servers_rested_at ON servers (rested_at);
CREATE INDEX ix_servers_task_state ON servers (task_state);
CREATE INDEX ix_subnetpools_address_scope_id ON subnetpools (address_scope_id);
CREATE INDEX ix_subnetpools_project_id ON subnetpools (project_id);
CREATE INDEX ix_subnets_network_id ON subnets (network_id);
CREATE INDEX ix_subnets_project_id ON subnets (project_id);
CREATE INDEX ix_subnets_segment_id ON subnets (segment_id);
CREATE INDEX ix_tap_flows_project_id ON tap_flows (project_id);
CREATE INDEX ix_tap_flows_source_port ON tap_flows (source_port);
CREATE INDEX ix_tap_flows_tap_service_id ON tap_flows (tap_service_id);
CREATE INDEX ix_tap_mirrors_port_id ON tap_mirrors (port_id);
CREATE INDEX ix_tap_mirrors_project_id ON tap_mirrors (project_id);
CREATE INDEX ix_tap_services_port_id ON tap_services (port_id);
CREATE INDEX ix_tap_services_project_id ON tap_services (project_id);
CREATE INDEX ix_trunks_project_id ON trunks (project_id);
CREATE INDEX ix_trusts_project_id ON trusts (project_id);
CREATE INDEX ix_trusts_redelegated_trust_id ON trusts (redelegated_trust_id);
CREATE INDEX ix_trusts_trustee_user_id ON trusts (trustee_user_id);
CREATE INDEX ix_trusts_trustor_user_id ON trusts (trustor_user_id);
CREATE INDEX ix_users_default_project_id ON users (default_project_id);
CREATE INDEX ix_users_password_expires_at ON users (password_expires_at);
CREATE INDEX ix_volume_attachments_project ON volume_attachments (project_id, created_at);
CREATE INDEX ix_volume_attachments_volume_id ON volume_attachments (volume_id);
CREATE INDEX ix_volume_backups_node ON volume_backups (node);
CREATE INDEX ix_volume_backups_parent_id ON volume_backups (parent_id);
CREATE INDEX ix_volume_backups_project ON volume_backups (project_id, created_at);
CREATE INDEX ix_volume_backups_stored_as ON volume_backups (stored_as);
CREATE INDEX ix_volume_backups_volume_id ON volume_backups (volume_id);
CREATE INDEX ix_volume_group_snapshots_group_id ON volume_group_snapshots (group_id);
CREATE INDEX ix_volume_group_snapshots_project ON volume_group_snapshots (project_id, created_at);
CREATE INDEX ix_volume_groups_node ON volume_groups (node);
CREATE INDEX ix_volume_groups_project ON volume_groups (project_id, created_at);
CREATE INDEX ix_volume_messages_project ON volume_messages (project_id, created_at);
CREATE INDEX ix_volume_snapshots_project ON volume_snapshots (project_id, created_at);
CREATE INDEX ix_volume_snapshots_volume_id ON volume_snapshots (volume_id);
CREATE INDEX ix_volume_transfers_source_project_id ON volume_transfers (source_project_id);
CREATE INDEX ix_volumes_place ON volumes (node, pool);
CREATE INDEX ix_volumes_project ON volumes (project_id, created_at);
