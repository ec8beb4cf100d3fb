"""The extensions of the API that QoS brings."""

from __future__ import annotations

from pileus.resource.declaration import Extension

EXTENSIONS = (
    Extension("qos", "Quality of Service", "The Quality of Service extension.", "2015-06-08T10:00:00-00:00"),
    Extension(
        "qos-bw-limit-direction",
        "Direction for QoS bandwidth limit rule",
        "Allow to configure QoS bandwidth limit rule with specific direction: ingress or egress",
        "2017-04-10T10:00:00-00:00",
    ),
    Extension(
        "qos-bw-minimum-ingress",
        "Ingress direction for QoS minimum bandwidth rule",
        "Allow to configure QoS minumum bandwidth rule with ingress direction.",
        "2018-07-09T10:00:00-00:00",
    ),
    Extension(
        "qos-default",
        "QoS default policy",
        "Expose the QoS default policy per project",
        "2017-04-06T10:00:00-00:00",
    ),
    Extension(
        "qos-fip",
        "Floating IP QoS",
        "The floating IP Quality of Service extension",
        "2017-07-20T00:00:00-00:00",
    ),
    Extension(
        "qos-fip-network-policy",
        "QoS floating IP network policy ID",
        "Adds a the QoS network ID to the floating IP definition",
        "2021-11-15T10:00:00-00:00",
    ),
    Extension(
        "qos-gateway-ip",
        "Router gateway IP QoS",
        "The Router gateway IP Quality of Service extension",
        "2018-02-24T00:00:00-00:00",
    ),
    Extension(
        "qos-port-network-policy",
        "QoS port network policy ID",
        "Adds a the QoS network ID to the port definition",
        "2019-11-01T10:00:00-00:00",
    ),
    Extension(
        "qos-pps",
        "QoS Rule Type Packet per Second Extension",
        "Add QoS Rule Type Packet per Second",
        "2021-05-12T10:00:00-00:00",
    ),
    Extension(
        "qos-pps-minimum",
        "QoS minimum packet rate rule",
        "Allow to configure QoS minimum packet rate rule.",
        "2021-07-14T10:00:00-00:00",
    ),
    Extension(
        "qos-pps-minimum-rule-alias",
        "QoS minimum packet rate rule alias",
        "API to enable GET, PUT and DELETE operations on QoS minimum packet rate rule without specifying "
        "policy ID",
        "2021-10-22T10:00:00-00:00",
    ),
    Extension(
        "qos-rule-type-details",
        "Details of QoS rule types",
        "Expose details about QoS rule types supported by loaded backend drivers",
        "2017-06-22T10:00:00-00:00",
    ),
    Extension(
        "qos-rule-type-filter",
        "Allow to filter the list of QoS rule types",
        "Filters all_rules and all_supported of the list of QoS rule types.",
        "2022-02-02T10:00:00-00:00",
    ),
    Extension(
        "qos-rules-alias",
        "Quality of Service rules alias API",
        "API to enable GET, PUT and DELETE operations on QoS policy rules without specifying policy ID",
        "2018-10-07T10:00:00-00:00",
    ),
    Extension(
        "port-resource-request",
        "Port Resource Request",
        "Expose resource request to Port",
        "2018-05-08T10:00:00-00:00",
    ),
    Extension(
        "port-resource-request-groups",
        "Port Resource Request Groups",
        "Support requesting multiple groups of resources and traits from the same RP subtree in "
        "resource_request",
        "2021-08-02T10:00:00-00:00",
    ),
)
