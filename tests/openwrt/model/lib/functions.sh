# A stand-in for OpenWrt's /lib/functions.sh: configuration, and what a package's scripts do.

N='
'

# Sections of what was loaded before are gone, but options with one value stay in their variables, as there.
uci_load() {
	local text
	CONFIG_SECTIONS=
	for _variable in $CONFIG_LISTS; do
		unset "$_variable"
	done
	CONFIG_LISTS=
	text=$(uci -S -n export "$1" 2>/dev/null) || return 1
	eval "$text"
}

config_load() {
	[ -n "$IPKG_INSTROOT" ] || uci_load "$1"
}

package() {
	return 0
}

config() {
	CONFIG_COUNT=$((CONFIG_COUNT + 1))
	CONFIG_SECTION=${2:-cfg$CONFIG_COUNT}
	CONFIG_SECTIONS="$CONFIG_SECTIONS $CONFIG_SECTION"
	eval "CONFIG_${CONFIG_SECTION}_TYPE=\$1"
}

option() {
	eval "CONFIG_${CONFIG_SECTION}_$1=\$2"
}

list() {
	eval "CONFIG_${CONFIG_SECTION}_$1=\"\${CONFIG_${CONFIG_SECTION}_$1:+\$CONFIG_${CONFIG_SECTION}_$1 }\$2\""
	CONFIG_LISTS="$CONFIG_LISTS CONFIG_${CONFIG_SECTION}_$1"
}

config_get() {
	case "$2$3" in
	*[!A-Za-z0-9_]*) return 0 ;;
	esac
	eval "$1=\${CONFIG_${2}_$3:-\$4}"
}

config_foreach() {
	local _function="$1" _type="$2" _section _found
	[ $# -lt 2 ] && shift || shift 2
	for _section in $CONFIG_SECTIONS; do
		config_get _found "$_section" TYPE
		[ -n "$_type" ] && [ "$_found" != "$_type" ] && continue
		eval "$_function \"\$_section\" \"\$@\""
	done
}

list_contains() {
	local _list
	eval "_list=\" \$$1 \""
	case "$_list" in
	*" $2 "*) return 0 ;;
	esac
	return 1
}

# The package's own files and scripts are in /usr/lib/opkg/info.
default_postinst() {
	local script
	if [ "$(stat -c %u:%g /etc/passwd)" ] && ! grep -q '^lispguard:' /etc/passwd; then
		echo "lispguard:x:$USERID:$USERID:lispguard:/var/run/lispguard:/bin/false" >>/etc/passwd
		echo "lispguard:x:$USERID:" >>/etc/group
	fi
	for script in $(grep '^/etc/uci-defaults/' "/usr/lib/opkg/info/$pkgname.list"); do
		(cd /etc/uci-defaults && . "$script") && rm -f "$script"
	done
	uci commit
	for script in $(grep '^/etc/init.d/' "/usr/lib/opkg/info/$pkgname.list"); do
		[ "$PKG_UPGRADE" = 1 ] || "$script" enable
		"$script" start
	done
}

default_prerm() {
	local script
	(. "/usr/lib/opkg/info/$pkgname.prerm-pkg")
	for script in $(grep '^/etc/init.d/' "/usr/lib/opkg/info/$pkgname.list"); do
		[ "$PKG_UPGRADE" = 1 ] || "$script" disable
		"$script" stop
	done
}
