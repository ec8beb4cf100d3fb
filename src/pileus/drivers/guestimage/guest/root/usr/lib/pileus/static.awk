# Reads a flattened network_data.json (OpenStack's, see json.awk) and writes the plan for the card whose
# hardware address is `mac`: lines `mtu N`, `address A/P`, `route NET/P VIA`, `dns A`. Nothing when no fixed
# address is given for it: then DHCP speaks.

BEGIN { FS = "\t" }

{ data[$1] = $2 }

END {
    link = ""
    for (at = 0; ("links/" at "/id") in data; at++)
        if (tolower(data["links/" at "/ethernet_mac_address"]) == tolower(mac)) {
            link = data["links/" at "/id"]
            mtu = data["links/" at "/mtu"]
        }
    if (link == "") exit
    for (at = 0; ("networks/" at "/type") in data; at++) {
        net = "networks/" at
        if (data[net "/link"] != link || data[net "/type"] !~ /^ipv[46]$/) continue
        if (!found++ && mtu ~ /^[0-9]+$/) print "mtu " mtu
        address = data[net "/ip_address"]
        print "address " (address ~ /\// ? address : address "/" prefix(data[net "/netmask"]))
        if (data[net "/gateway"] != "") # not in Nova's own files, in some others'
            print "route " (address ~ /:/ ? "::/0" : "0.0.0.0/0") " " data[net "/gateway"]
        for (hop = 0; (net "/routes/" hop "/network") in data; hop++) {
            way = net "/routes/" hop
            print "route " data[way "/network"] "/" prefix(data[way "/netmask"]) " " data[way "/gateway"]
        }
    }
    if (!found) exit
    for (at = 0; ("services/" at "/address") in data; at++)
        if (data["services/" at "/type"] == "dns") print "dns " data["services/" at "/address"]
}

# 255.255.240.0 is 20, ffff:ffff:ffff:ffff:: is 64, 24 is 24.
function prefix(netmask, parts, count, at, bits) {
    if (netmask ~ /^[0-9]+$/) return netmask
    bits = 0
    if (netmask ~ /:/) {
        for (at = 1; at <= length(netmask); at++)
            bits += ones("0123456789abcdef", tolower(substr(netmask, at, 1)))
        return bits
    }
    count = split(netmask, parts, ".")
    for (at = 1; at <= count; at++)
        for (; parts[at] > 0; parts[at] = int(parts[at] / 2)) bits += parts[at] % 2
    return bits
}

function ones(digits, digit, number, bits) {
    number = index(digits, digit) - 1
    bits = 0
    for (; number > 0; number = int(number / 2)) bits += number % 2
    return bits
}
