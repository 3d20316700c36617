# A stand-in for the LuCI feed's luci.mk, which makes a package of a folder: htdocs/ goes to /www, root/ to /.

LUCI_NAME ?= $(notdir $(CURDIR))
PKG_NAME ?= $(LUCI_NAME)

define Package/$(PKG_NAME)
  SECTION:=luci
  CATEGORY:=LuCI
  TITLE:=$(LUCI_TITLE)
  DEPENDS:=$(LUCI_DEPENDS)
  URL:=$(LUCI_URL)
  MAINTAINER:=$(LUCI_MAINTAINER)
  PKGARCH:=all
endef

define Package/$(PKG_NAME)/description
  $(or $(strip $(LUCI_DESCRIPTION)),$(LUCI_TITLE))
endef

define Package/$(PKG_NAME)/install
	if [ -d htdocs ]; then mkdir $(1)/www && cp -R htdocs/. $(1)/www; fi
	if [ -d root ]; then cp -R root/. $(1); fi
	chmod -R u=rwX,go=rX $(1)
endef

ifndef Package/$(PKG_NAME)/postinst
define Package/$(PKG_NAME)/postinst
#!/bin/sh
[ -n "$${IPKG_INSTROOT}" ] || { rm -rf /tmp/luci-indexcache.* /tmp/luci-modulecache; killall -HUP rpcd 2>/dev/null; }
exit 0
endef
endif

$(eval $(call BuildPackage,$(PKG_NAME)))
