#!/bin/sh
# The feed's build robot runs this with a package's name and version, the package installed.

case "$1" in
lispguard | lispguard-full)
	lispguard --version | grep -F "$2" || exit 1
	key=$(lispguard genkey) || exit 1
	[ "$(echo "$key" | lispguard pubkey | wc -c)" = 45 ] || exit 1
	;;
esac
