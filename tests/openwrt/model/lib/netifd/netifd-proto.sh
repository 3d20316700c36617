# A stand-in for netifd's functions of protocol handlers.

. /usr/share/libubox/jshn.sh

_option() {
	json_add_array ''
	json_add_string '' "$2"
	json_add_int '' "$1"
	json_close_array
}

proto_config_add_string() { _option 3 "$1"; }
proto_config_add_int() { _option 5 "$1"; }
proto_config_add_boolean() { _option 7 "$1"; }

_notify() {
	json_add_string interface "$1"
	ubus call network.interface notify_proto "$(json_dump)"
}

proto_notify_error() {
	local interface="$1"
	shift
	json_init
	json_add_int action 3
	json_add_array error
	for _one in "$@"; do
		json_add_string '' "$_one"
	done
	json_close_array
	_notify "$interface"
}

proto_block_restart() {
	json_init
	json_add_int action 4
	_notify "$1"
}

proto_setup_failed() {
	json_init
	json_add_int action 7
	_notify "$1"
}

proto_add_host_dependency() {
	echo "proto_add_host_dependency is forbidden" >>/tmp/model/broken
}

# netifd starts the script for a dump of its abilities, and for each step with the interface's options as JSON.
init_proto() {
	_protocol=$1
	_step=$2
	shift 2
	case "$_step" in
	dump)
		add_protocol() {
			no_device=0 no_proto_task=0 available=0 renew_handler=0
			json_init
			json_add_string name "$1"
			json_add_array config
			"proto_$1_init_config"
			json_close_array
			json_add_boolean no-device "$no_device"
			json_add_boolean no-proto-task "$no_proto_task"
			json_add_boolean available "$available"
			json_add_boolean renew-handler "$renew_handler"
			json_dump
		}
		;;
	setup | teardown | renew)
		_interface=$1
		_data=$2
		add_protocol() {
			[ "$_protocol" = "$1" ] || return 0
			json_load "$_data"
			"proto_$1_$_step" "$_interface"
		}
		;;
	esac
}
