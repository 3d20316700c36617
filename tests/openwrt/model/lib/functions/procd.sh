# A stand-in for procd's shell functions: they put a message together, `ubus call service` takes it.

. /usr/share/libubox/jshn.sh

_procd() {
	local _before
	json_set_namespace procd _before
	"$@"
	json_set_namespace "$_before"
}

_procd_call() {
	ubus call service "$1" "$(json_dump)"
	json_cleanup
}

_open_service() {
	json_init
	json_add_string name "$1"
	json_add_string script "$2"
	json_add_object instances
}

_close_service() {
	json_close_object
	json_add_array triggers
	service_triggers
	json_close_array
	_procd_call "$1"
}

_open_instance() {
	_instances=$((_instances + 1))
	json_add_object "${1:-instance$_instances}"
}

_array() {
	json_add_array "$1"
	shift
	for _one in "$@"; do
		json_add_string '' "$_one"
	done
	json_close_array
}

# What the real one does not know it leaves out without a word; here that is an error.
_set_param() {
	local type="$1"
	shift
	case "$type" in
	command | file | respawn | netdev) _array "$type" "$@" ;;
	env | limits | data)
		json_add_object "$type"
		for _one in "$@"; do
			json_add_string "${_one%%=*}" "${_one#*=}"
		done
		json_close_object
		;;
	reload_signal | term_timeout | nice) json_add_int "$type" "$1" ;;
	user | group | seccomp | capabilities | facility | pidfile) json_add_string "$type" "$1" ;;
	stdout | stderr | no_new_privs) json_add_boolean "$type" "$1" ;;
	*) echo "procd_set_param $type: unknown" >>/tmp/model/broken ;;
	esac
}

_add_jail() {
	json_add_object jail
	json_add_string name "$1"
	shift
	for _one in "$@"; do
		case "$_one" in
		log | ubus | procfs | sysfs | ronly | requirejail | netns | userns | cgroupsns) json_add_boolean "$_one" 1 ;;
		*) echo "procd_add_jail: $_one is unknown" >>/tmp/model/broken ;;
		esac
	done
	json_add_object mount
	json_close_object
	json_close_object
}

_add_mounts() {
	local writable="$1"
	shift
	json_select jail && json_select mount || return
	for _one in "$@"; do
		json_add_string "$_one" "$writable"
	done
	json_select ..
	json_select ..
}

_add_reload_trigger() {
	local package
	for package in "$@"; do
		json_add_array ''
		json_add_string '' config.change
		json_add_array ''
		json_add_string '' if
		_array '' eq package "$package"
		_array '' run_script "/etc/init.d/${initscript##*/}" reload
		json_close_array
		json_add_int '' 1000
		json_close_array
	done
}

procd_open_service() { _procd _open_service "$@"; }
procd_close_service() { _procd _close_service "$@"; }
procd_open_instance() { _procd _open_instance "$@"; }
procd_close_instance() { _procd json_close_object; }
procd_set_param() { _procd _set_param "$@"; }
procd_add_jail() { _procd _add_jail "$@"; }
procd_add_jail_mount() { _procd _add_mounts 0 "$@"; }
procd_add_jail_mount_rw() { _procd _add_mounts 1 "$@"; }
procd_add_reload_trigger() { _procd _add_reload_trigger "$@"; }

procd_open_data() {
	json_set_namespace procd _data_before
	json_add_object data
}

procd_close_data() {
	json_close_object
	json_set_namespace "$_data_before"
}

procd_lock() {
	return 0
}

# Outside of procd's namespace, as there.
procd_running() {
	json_init
	json_add_string name "$1"
	[ "$(_procd_call list | jq -r --arg name "$1" 'any(.[$name].instances[]?; .running)')" = true ]
}

_send_signal() {
	json_init
	json_add_string name "$1"
	case "$3" in
	HUP) json_add_int signal 1 ;;
	*) json_add_int signal "$3" ;;
	esac
	_procd_call signal
}

_kill() {
	json_init
	json_add_string name "$1"
	_procd_call delete
}

procd_send_signal() { _procd _send_signal "$@"; }
procd_kill() { _procd _kill "$@"; }
