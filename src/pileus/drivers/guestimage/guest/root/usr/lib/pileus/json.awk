# Flattens one JSON document (RFC 8259): a line for each leaf, its path and its value with a tab between.
#   {"a": {"b": ["x", 1]}}   becomes   a/b/0<TAB>x   and   a/b/1<TAB>1
# In values a newline is written \n, a tab \t and a backslash \\ (printf %b reads them back); a character
# given as \u above ASCII becomes a question mark. Ends with status 1 where the text is no JSON.

{ text = text $0 "\n" }

END {
    skip_space()
    read_value("")
    if (!broken && text != "") broken = 1
    exit broken
}

function skip_space() { sub(/^[ \t\r\n]+/, "", text) }

function eat(count) {
    text = substr(text, count + 1)
    skip_space()
}

function below(path, key) { return path == "" ? key : path "/" key }

function read_value(path, first) {
    first = substr(text, 1, 1)
    if (broken) return
    if (first == "{") read_object(path)
    else if (first == "[") read_array(path)
    else if (first == "\"") printf "%s\t%s\n", path, read_string()
    else if (match(text, /^(true|false|null|-?[0-9]+([.][0-9]+)?([eE][-+]?[0-9]+)?)/)) {
        printf "%s\t%s\n", path, substr(text, 1, RLENGTH)
        eat(RLENGTH)
    } else broken = 1
}

function read_object(path, key) {
    eat(1)
    if (text ~ /^}/) { eat(1); return }
    while (!broken) {
        if (text !~ /^"/) { broken = 1; return }
        key = read_string()
        if (text !~ /^:/) { broken = 1; return }
        eat(1)
        read_value(below(path, key))
        if (text ~ /^}/) { eat(1); return }
        if (text !~ /^,/) { broken = 1; return }
        eat(1)
    }
}

function read_array(path, at) {
    eat(1)
    if (text ~ /^]/) { eat(1); return }
    for (at = 0; !broken; at++) {
        read_value(below(path, at))
        if (text ~ /^]/) { eat(1); return }
        if (text !~ /^,/) { broken = 1; return }
        eat(1)
    }
}

function read_string(out, letter) {
    text = substr(text, 2)
    out = ""
    while (match(text, /["\\]/)) {
        out = out substr(text, 1, RSTART - 1)
        letter = substr(text, RSTART, 1)
        text = substr(text, RSTART + 1)
        if (letter == "\"") { skip_space(); return out }
        letter = substr(text, 1, 1)
        text = substr(text, 2)
        if (letter == "u") {
            out = out ascii(tolower(substr(text, 1, 4)))
            text = substr(text, 5)
        } else if (letter == "n" || letter == "t" || letter == "\\") out = out "\\" letter
        else if (letter == "r" || letter == "b" || letter == "f") out = out " "
        else out = out letter
    }
    broken = 1
    return out
}

function ascii(digits, code) {
    code = 16 * (index("0123456789abcdef", substr(digits, 3, 1)) - 1) \
        + index("0123456789abcdef", substr(digits, 4, 1)) - 1
    if (substr(digits, 1, 2) != "00" || code < 32 || code > 126) return code == 10 ? "\\n" : "?"
    return code == 92 ? "\\\\" : sprintf("%c", code)
}
