# A stand-in for what OpenWrt's build system and the feeds give to a package's Makefile, as far as it says
# what is in the package. Without PACKAGE it lists packages, else `make stage` puts its files into STAGE/root
# and reading it puts what it says of the package into STAGE/NAME.

INSTALL_DIR := install -d -m0755
INSTALL_BIN := install -m0755
INSTALL_DATA := install -m0644
INSTALL_CONF := install -m0600
CP := cp -fpR
LN := ln -sf
INCLUDE_DIR := $(TOPDIR)/include
PKG_BUILD_DIR := $(CURDIR)
RUST_ARCH_DEPENDS := @(aarch64||arm||mips||mipsel||x86_64)

required := TITLE CATEGORY SECTION
fields := $(required) DEPENDS EXTRA_DEPENDS PROVIDES CONFLICTS ALTERNATIVES USERID URL MAINTAINER \
	PKGARCH VARIANT DEFAULT_VARIANT
general := PKG_NAME PKG_VERSION PKG_RELEASE PKG_LICENSE PKG_LICENSE_FILES PKG_MAINTAINER RUST_PKG_FEATURES
texts := description conffiles preinst postinst prerm postrm

.PHONY: all stage
all: ;

write = $(file >$(STAGE)/$(1),$(2))

# $(1): package
define BuildPackage
  $(foreach field,$(fields),$(eval $(field):=))
  $(eval $(Package/$(1)))
  $(foreach field,$(required),$(if $($(field)),,$(error $(1) has no $(field))))
  $(if $(PACKAGE),$(if $(filter $(1),$(PACKAGE)),$(eval $(call Stage,$(1)))),$(info $(1) $(VARIANT)))
endef

define Stage
  $(foreach field,$(fields) $(general),$(call write,$(field),$($(field))))
  $(foreach text,$(texts),$(if $(Package/$(1)/$(text)),$(call write,$(text),$(Package/$(1)/$(text)))))
  stage:
	mkdir $(STAGE)/root
	$(call Package/$(1)/install,$(STAGE)/root)
endef
