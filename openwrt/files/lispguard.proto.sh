#!/bin/sh
# netifd's protocol 'lispguard': the overlay as an ordinary interface. The daemon has the devices, and
# tells netifd of them (`notify_proto`) when it is told here that the interface is wanted.

[ -x /usr/sbin/lispguard ] || exit 0

# shellcheck source=/dev/null
. /lib/functions.sh
# shellcheck source=/dev/null
. ../netifd-proto.sh

init_proto "$@"

# shellcheck disable=SC2034 # netifd-proto.sh reads these.
proto_lispguard_init_config() {
	no_device=1
	available=1
	no_proto_task=1
	renew_handler=1
	proto_config_add_string instance
	proto_config_add_int mtu
	proto_config_add_int metric
}

# Without the daemon the interface stays pending: the daemon asks for a renewal when it starts.
lispguard_want() {
	local interface="$1" mtu="$2" metric="$3" error
	json_init
	json_add_string interface "$interface"
	[ -z "$mtu" ] || json_add_int mtu "$mtu"
	[ -z "$metric" ] || json_add_int metric "$metric"
	ubus -S call lispguard interface_up "$(json_dump)" >/dev/null 2>&1
	# How ubus ends is the call's status.
	case $? in
	0) return 0 ;;
	2) error=INVALID_MTU ;;
	4) error=NOT_RUNNING ;;
	8) error=NO_DATA_DEVICE ;;
	*) error=NO_ANSWER ;;
	esac
	proto_notify_error "$interface" $error
}

proto_lispguard_setup() {
	local interface="$1" instance mtu metric
	json_get_vars instance mtu metric
	if [ "${instance:-main}" != main ]; then
		proto_notify_error "$interface" NO_SUCH_INSTANCE
		proto_block_restart "$interface"
		proto_setup_failed "$interface"
		return 1
	fi
	lispguard_want "$interface" "$mtu" "$metric"
}

proto_lispguard_renew() {
	local interface="$1" mtu metric
	json_get_vars mtu metric
	lispguard_want "$interface" "$mtu" "$metric"
}

proto_lispguard_teardown() {
	json_init
	json_add_string interface "$1"
	ubus -S call lispguard interface_down "$(json_dump)" >/dev/null 2>&1
	return 0
}

add_protocol lispguard
