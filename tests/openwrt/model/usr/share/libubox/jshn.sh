# A stand-in for libubox's JSON functions: for each namespace the steps that make a document, and one `jq` that
# follows them when it is asked for.

_json_new="
"

json_set_namespace() {
	[ -z "$2" ] || eval "$2=\$_json_namespace"
	_json_namespace=$1
}

_json_step() {
	eval "_json_steps_$_json_namespace=\$_json_steps_$_json_namespace\$_json_new\$1"
}

# _json_ask JQ-FILTER [ARGUMENT...]: of {document, place}. In an array the name counts for nothing, as in jshn.
_json_ask() {
	local filter="$1"
	shift
	eval "printf '%s' \"\$_json_steps_$_json_namespace\"" | jq -n -c "$@" "
		reduce inputs as \$step ({document: {}, place: []};
			if \$step[0] == \"load\" then {document: \$step[1], place: []}
			elif \$step[0] == \"leave\" then .place |= .[:-1]
			elif \$step[0] == \"enter\" then .place += [\$step[1]]
			else
				. as \$now | (\$now.document | getpath(\$now.place)) as \$in |
				(\$now.place + [if (\$in | type) == \"array\" then (\$in | length) else \$step[1] end]) as \$at |
				.document |= setpath(\$at; \$step[2]) |
				if \$step[0] == \"open\" then .place = \$at else . end
			end) | $filter"
}

_json_quote() {
	case "$1" in
	*[\\\"]* | *[[:cntrl:]]*) _json_quoted=$(jq -cn --arg text "$1" '$text') ;;
	*) _json_quoted="\"$1\"" ;;
	esac
}

# _json_add KIND NAME VALUE
_json_add() {
	local name
	_json_quote "$2"
	_json_step "[\"$1\", $_json_quoted, $3]"
}

json_init() {
	eval "_json_steps_$_json_namespace= _json_opened_$_json_namespace="
}

json_cleanup() {
	json_init
}

json_add_string() {
	local value
	_json_quote "$2"
	value=$_json_quoted
	_json_add put "$1" "$value"
}

json_add_int() {
	_json_add put "$1" "$(($2))"
}

json_add_boolean() {
	case "$2" in
	'' | 0 | false) _json_add put "$1" false ;;
	*) _json_add put "$1" true ;;
	esac
}

json_add_object() {
	_json_add open "$1" '{}'
	eval "_json_opened_$_json_namespace=\"\$_json_opened_$_json_namespace \$1\""
}

json_add_array() {
	_json_add open "$1" '[]'
	eval "_json_opened_$_json_namespace=\"\$_json_opened_$_json_namespace \$1\""
}

json_close_object() {
	_json_step '["leave"]'
}

json_close_array() {
	json_close_object
}

json_dump() {
	_json_ask .document
}

json_load() {
	json_init
	_json_step "[\"load\", $1]"
}

# Enters what was opened here, which is all that is asked for.
json_select() {
	if [ "$1" = .. ]; then
		json_close_object
		return
	fi
	eval "case \" \$_json_opened_$_json_namespace \" in *\" \$1 \"*) ;; *) return 1 ;; esac"
	_json_quote "$1"
	_json_step "[\"enter\", $_json_quoted]"
}

json_get_var() {
	local value
	value=$(_json_ask '. as $now | $now.document | getpath($now.place)[$name] |
		if . == null then "" elif . == true then 1 elif . == false then 0 else . end' -r --arg name "$2")
	eval "$1=\${value:-\$3}"
}

json_get_vars() {
	local name
	for name in "$@"; do
		case "$name" in
		*:*) json_get_var "${name%%:*}" "${name%%:*}" "${name#*:}" ;;
		*) json_get_var "$name" "$name" ;;
		esac
	done
}
