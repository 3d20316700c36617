# One operation on one UCI file, as libuci's command line does it; the file's text comes from standard input.
# In the environment: op, package_name, section, option, value; named: `export` names all sections. Prints the changed file, or what was asked for.
# Exit status 1: there is no such entry. 2: the text is no UCI. 3: the argument is wrong.

BEGIN {
    op = ENVIRON["op"]
    package_name = ENVIRON["package_name"]
    section = ENVIRON["section"]
    option = ENVIRON["option"]
    value = ENVIRON["value"]
}

function fail(status) { failed = status; exit status }

function parse_error(what) {
    printf "uci: Parse error (%s) at line %d, byte %d\n", what, NR, at > "/dev/stderr"
    fail(2)
}

# The next word of the line `text` from `at` on, into `word`; 0 when there is none.
function next_word(    c, quote, found) {
    word = ""
    while (substr(text, at, 1) ~ /[ \t\r]/) at++
    c = substr(text, at, 1)
    if (c == "" || c == "#") return 0
    for (; at <= length(text); at++) {
        c = substr(text, at, 1)
        if (quote == "'") {
            if (c == "'") quote = ""; else word = word c
        } else if (quote == "\"") {
            if (c == "\\") { at++; word = word substr(text, at, 1) }
            else if (c == "\"") quote = ""; else word = word c
        } else if (c == "'" || c == "\"") { quote = c }
        else if (c == "\\") { at++; word = word substr(text, at, 1) }
        else if (c ~ /[ \t\r#;]/) break
        else word = word c
    }
    if (quote != "") parse_error("unterminated " quote)
    return 1
}

function find_section(name,    i, parts, wanted, count, index_) {
    if (name ~ /^@.+\[-?[0-9]+\]$/) {
        wanted = substr(name, 2, index(name, "[") - 2)
        index_ = substr(name, index(name, "[") + 1) + 0
        count = 0
        for (i = 1; i <= sections; i++) if (type[i] == wanted) parts[count++] = i
        if (index_ < 0) index_ += count
        return (index_ in parts) ? parts[index_] : 0
    }
    for (i = 1; i <= sections; i++) if (id[i] == name) return i
    return 0
}

function find_option(s, name,    o) {
    for (o = 1; o <= options[s]; o++) if (key[s, o] == name) return o
    return 0
}

function is_name(name) { return name ~ /^[A-Za-z0-9_]+$/ }

function add_section(new_type, name) {
    sections++
    type[sections] = new_type
    is_anonymous[sections] = name == ""
    id[sections] = name == "" ? sprintf("cfg%02x%04x", sections, length(new_type) * 4099 + sections) : name
    options[sections] = 0
    return sections
}

function put(s, name, new_value, is_added_to_list,    o) {
    o = find_option(s, name)
    if (!o) { o = ++options[s]; key[s, o] = name; values[s, o] = 0; is_list[s, o] = 0 }
    if (!is_added_to_list) { values[s, o] = 0; is_list[s, o] = 0 } else is_list[s, o] = 1
    item[s, o, ++values[s, o]] = new_value
}

function drop(s, o,    i, j) {
    for (i = o; i < options[s]; i++) {
        key[s, i] = key[s, i + 1]; is_list[s, i] = is_list[s, i + 1]; values[s, i] = values[s, i + 1]
        for (j = 1; j <= values[s, i]; j++) item[s, i, j] = item[s, i + 1, j]
    }
    options[s]--
}

function quoted(word) { gsub(/'/, "'\\''", word); return "'" word "'" }

function print_file(has_names,    s, o, i) {
    if (op == "export") printf "package %s\n", package_name
    for (s = 1; s <= sections; s++) {
        if (s == gone) continue
        printf "\nconfig %s", type[s]
        if (!is_anonymous[s] || (op == "export" && ENVIRON["named"])) printf " %s", quoted(id[s])
        printf "\n"
        for (o = 1; o <= options[s]; o++)
            for (i = 1; i <= values[s, o]; i++)
                printf "\t%s %s %s\n", is_list[s, o] ? "list" : "option", key[s, o], quoted(item[s, o, i])
    }
    if (op == "export") printf "\n"
}

function print_all(    s, o, i, line) {
    for (s = 1; s <= sections; s++) {
        line = package_name "." id[s]
        print line "=" type[s]
        for (o = 1; o <= options[s]; o++) {
            printf "%s.%s=", line, key[s, o]
            for (i = 1; i <= values[s, o]; i++) printf "%s%s", (i > 1 ? " " : ""), quoted(item[s, o, i])
            printf "\n"
        }
    }
}

{
    text = $0
    at = 1
    if (!next_word()) next
    command = word
    if (command == "package") next
    if (command == "config") {
        if (!next_word()) parse_error("insufficient arguments")
        found_type = word
        found_name = next_word() ? word : ""
        if (found_name != "" && !is_name(found_name)) parse_error("invalid character in name field")
        current = found_name == "" ? 0 : find_section(found_name)
        if (current && type[current] != found_type) parse_error("section of different type overwrites prior section with same name")
        if (!current) current = add_section(found_type, found_name)
    } else if (command == "option" || command == "list") {
        if (!current) parse_error("option/list command found before the first section")
        if (!next_word()) parse_error("insufficient arguments")
        found_name = word
        if (!is_name(found_name)) parse_error("invalid character in name field")
        found = next_word() ? word : ""
        put(current, found_name, found, command == "list")
    } else {
        parse_error("invalid command")
    }
    if (next_word()) parse_error("too many arguments")
}

END {
    if (failed) exit failed
    s = section == "" ? 0 : find_section(section)
    o = s && option != "" ? find_option(s, option) : 0
    if (op == "export" || op == "check") { if (op == "export") print_file(); exit 0 }
    if (op == "show") { print_all(); exit 0 }
    if (op == "get") {
        if (!s || (option != "" && !o)) exit 1
        if (option == "") { print type[s]; exit 0 }
        for (i = 1; i <= values[s, o]; i++) printf "%s%s", (i > 1 ? " " : ""), item[s, o, i]
        printf "\n"
        exit 0
    }
    if (op == "set" && option == "") {
        if (section ~ /^@/ && !s) exit 3
        if (section !~ /^@/ && !is_name(section)) exit 3
        if (!s) s = add_section(value, section); else type[s] = value
    } else if (op == "set" || op == "add_list") {
        if (!s) exit 3
        if (!is_name(option)) exit 3
        if (value == "" && op == "set") { if (o) drop(s, o) } else put(s, option, value, op == "add_list")
    } else if (op == "add") {
        s = add_section(section, "")
        print id[s] > "/dev/stderr"
    } else if (op == "delete") {
        if (!s || (option != "" && !o)) exit 1
        if (option == "") gone = s; else drop(s, o)
    } else if (op == "del_list") {
        if (!s || !o) exit 1
        if (is_list[s, o]) {
            kept = 0
            for (i = 1; i <= values[s, o]; i++) if (item[s, o, i] != value) item[s, o, ++kept] = item[s, o, i]
            values[s, o] = kept
            if (!kept) drop(s, o)
        }
    } else exit 3
    print_file()
}
