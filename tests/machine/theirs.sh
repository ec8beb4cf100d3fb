#!/usr/bin/env bash
# Things of somebody else's, beside which a cloud comes and goes: a bridge of Open vSwitch with a port and an
# address, a bridge of the kernel, a namespace, packet rules, a route. `theirs.sh make`, `theirs.sh show`.
set -euo pipefail
case $1 in
  make)
    ovs-vsctl add-br theirs -- set bridge theirs external_ids:owner=somebody
    ovs-vsctl add-port theirs theirs0 -- set interface theirs0 type=internal
    ovs-ofctl add-flow theirs "cookie=0x7,priority=7,ip,actions=drop"
    ip address add 192.0.2.1/28 dev theirs
    ip link set theirs up
    ip link add theirs-br type bridge
    ip address add 192.0.2.17/28 dev theirs-br
    ip link set theirs-br up
    ip netns add theirs
    ip route add 198.51.100.0/24 via 192.0.2.2 dev theirs
    nft add table inet theirs
    nft add chain inet theirs in '{ type filter hook input priority 5; policy accept; }'
    nft add rule inet theirs in tcp dport 9 drop
    ;;
  show)
    ovs-vsctl --columns=name,external_ids,ports list bridge theirs
    ovs-ofctl dump-flows theirs | grep -o 'cookie=0x7.*' | sed 's/n_packets.*priority/priority/; s/duration=[^,]*, //'
    ip -br address show theirs
    ip -br address show theirs-br
    ip netns | grep -w theirs
    ip route show 198.51.100.0/24
    nft list table inet theirs
    ;;
  remove)
    nft delete table inet theirs
    ip netns del theirs
    ip link del theirs-br
    ovs-vsctl del-br theirs
    ;;
esac
