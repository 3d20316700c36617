# A stand-in for OpenWrt's /lib/functions.sh: what a package's scripts call when it is put into an image that is
# elsewhere (IPKG_INSTROOT). It says in $IPKG_INSTROOT/calls what was done.

# The package's name, its list of files, and the users it asks for, as opkg's or apk's database has them.
find_package() {
	[ -n "$pkgname" ] || { pkgname=${1##*/} && pkgname=${pkgname%.*}; }
	database=$IPKG_INSTROOT/usr/lib/opkg/info
	[ -f "$database/$pkgname.list" ] || database=$IPKG_INSTROOT/lib/apk/packages
	files=$(cat "$database/$pkgname.list") || exit 1
}

# Tuples user=number:group=number.
add_group_and_user() {
	local one user group
	find_package "$1"
	for one in $(cat "$IPKG_INSTROOT/lib/apk/packages/$pkgname.rusers" 2>/dev/null ||
		sed -n 's/^Require-User: *//p' "$database/$pkgname.control"); do
		user=${one%%:*} group=${one##*:}
		echo "${group%=*}:x:${group#*=}:${user%=*}" >>"$IPKG_INSTROOT/etc/group"
		echo "${user%=*}:x:${user#*=}:${group#*=}:${user%=*}:/var/run/${user%=*}:/bin/false" >>"$IPKG_INSTROOT/etc/passwd"
	done
}

default_postinst() {
	local one
	find_package "$1"
	[ "$database" = "$IPKG_INSTROOT/lib/apk/packages" ] || add_group_and_user "$1"
	run_own postinst-pkg || return
	for one in $files; do
		case $one in
		/etc/init.d/*) echo "enable $one" >>"$IPKG_INSTROOT/calls" ;;
		esac
	done
}

default_prerm() {
	local one
	find_package "$1"
	run_own prerm-pkg || return
	for one in $files; do
		case $one in
		/etc/init.d/*) echo "disable $one" >>"$IPKG_INSTROOT/calls" ;;
		esac
	done
}

run_own() {
	[ ! -f "$database/$pkgname.$1" ] || (. "$database/$pkgname.$1")
}
