# Tools for builds and tests beyond the host's own: found where they stand, else installed by name.
# Sourced by cross/build and tests/run; everything but Debian packages goes to the user's cache folder.

lispguard_cache=${XDG_CACHE_HOME:-$HOME/.cache}/lispguard
zig_version=0.17.1

say() { printf '%s\n' "$*" >&2; }

# install_packages NAME...: Debian packages, only those that are missing.
install_packages() {
    local missing=() name as_root=()
    for name in "$@"; do
        dpkg-query -W -f '${Status}\n' "$name" 2>/dev/null | grep -q '^install ok installed' || missing+=("$name")
    done
    [ ${#missing[@]} = 0 ] && return 0
    if [ "$(id -u)" != 0 ]; then as_root=(sudo); fi
    if ! command -v apt-get >/dev/null || { [ "$(id -u)" != 0 ] && ! command -v sudo >/dev/null; }; then
        say "please install: ${missing[*]} (Debian's names)"
        return 1
    fi
    say "installing ${missing[*]} ..."
    local apt=("${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -qq -o DPkg::Lock::Timeout=300)
    if [ -z "${lispguard_apt_updated:-}" ]; then
        "${apt[@]}" update >/dev/null || say "apt-get update failed, trying with the lists at hand"
        export lispguard_apt_updated=1
    fi
    "${apt[@]}" install -y --no-install-recommends "${missing[@]}" </dev/null >/dev/null
}

# has_std_source COMMAND...: whether this rustc (1.88 or later) carries the sources of std.
has_std_source() {
    local sysroot minor
    sysroot=$("$@" --print sysroot 2>/dev/null) || return 1
    minor=$("$@" --version | sed -n 's/^rustc 1\.\([0-9]*\)\..*/\1/p')
    [ "${minor:-0}" -ge 88 ] && [ -e "$sysroot/lib/rustlib/src/rust/library/std/Cargo.toml" ]
}

# find_build_std_cargo: sets the array build_std_cargo to a cargo that can build std from source:
# rustup's nightly or stable with rust-src, else Debian's toolchain.
find_build_std_cargo() {
    if command -v rustup >/dev/null && has_std_source rustup run nightly rustc; then
        build_std_cargo=(rustup run nightly cargo)
    elif has_std_source rustc; then
        build_std_cargo=(env RUSTC_BOOTSTRAP=1 cargo)
    else
        if ! has_std_source /usr/bin/rustc && ! install_packages rustc-web cargo-web rust-web-src; then
            say "or, with rustup: rustup toolchain install nightly --component rust-src"
            return 1
        fi
        build_std_cargo=(env RUSTC_BOOTSTRAP=1 RUSTC=/usr/bin/rustc /usr/bin/cargo)
    fi
}

# find_zig: sets and exports LISPGUARD_ZIG, the compiler that cross/cc runs.
find_zig() {
    local venv=$lispguard_cache/zig-$zig_version
    if [ ! -e "$venv/ready" ]; then
        say "installing ziglang $zig_version into $venv ..."
        rm -rf "$venv"
        mkdir -p "$lispguard_cache"
        python3 -c 'import ensurepip' 2>/dev/null || install_packages python3-venv || return 1
        python3 -m venv "$venv" && "$venv/bin/pip" install -q --disable-pip-version-check "ziglang==$zig_version" || return 1
        touch "$venv/ready"
    fi
    LISPGUARD_ZIG=$("$venv/bin/python" -c 'import os, ziglang; print(os.path.join(os.path.dirname(ziglang.__file__), "zig"))') || return 1
    export LISPGUARD_ZIG
}

# use_target OPENWRT_NAME: sets rust_target and runner (words to run a program of that target with), and
# exports what cargo and cc need to build for it. Linker and C library are zig's.
use_target() {
    local rustflags variable
    case $1 in
    mips_24kc | mipsel_24kc)
        rust_target=${1%_24kc}-unknown-linux-musl
        export LISPGUARD_ZIG_TARGET=${1%_24kc}-linux-musleabi
        # Position independence would cost 30 to 45 kB on this target.
        rustflags='-C target-feature=+crt-static -C link-self-contained=no -C relocation-model=static -C link-arg=-no-pie'
        runner="qemu-${1%_24kc}-static -cpu 24Kc"
        ;;
    arm_cortex-a9_vfpv3-d16)
        rust_target=armv7-unknown-linux-musleabihf
        export LISPGUARD_ZIG_TARGET=arm-linux-musleabihf
        rustflags='-C target-cpu=cortex-a9 -C target-feature=-neon,-d32 -C link-self-contained=no'
        runner='qemu-arm-static -cpu cortex-a9'
        ;;
    aarch64_cortex-a53)
        rust_target=aarch64-unknown-linux-musl
        export LISPGUARD_ZIG_TARGET=aarch64-linux-musl
        rustflags='-C target-cpu=cortex-a53 -C link-self-contained=no'
        runner='qemu-aarch64-static -cpu cortex-a53'
        ;;
    x86_64)
        rust_target=x86_64-unknown-linux-musl
        export LISPGUARD_ZIG_TARGET=x86_64-linux-musl
        rustflags='-C link-self-contained=no'
        runner=
        ;;
    *)
        say "unknown target '$1'; known: mips_24kc mipsel_24kc arm_cortex-a9_vfpv3-d16 aarch64_cortex-a53 x86_64"
        return 2
        ;;
    esac
    install_packages llvm || return 1
    variable=${rust_target//-/_}
    export "CC_$variable=$cross_folder/cc" "AR_$variable=llvm-ar"
    variable=CARGO_TARGET_${variable^^}
    export "${variable}_LINKER=$cross_folder/cc" "${variable}_RUSTFLAGS=$rustflags"
    [ -z "$runner" ] || export "${variable}_RUNNER=$runner"
}

# find_musl: builds the C library that routers have for the target of use_target, of Debian's source, where emulators
# find it. zig's own is not shared, and has another malloc.
find_musl() {
    local machine=${LISPGUARD_ZIG_TARGET%%-*} loader
    local folder=$lispguard_cache/musl
    case $LISPGUARD_ZIG_TARGET in
    mips*) loader=ld-musl-$machine-sf.so.1 ;;
    *hf) loader=ld-musl-${machine}hf.so.1 ;;
    *) loader=ld-musl-$machine.so.1 ;;
    esac
    if [ ! -e "$folder/lib/$loader" ]; then
        say "building musl for $LISPGUARD_ZIG_TARGET into $folder ..."
        mkdir -p "$folder/lib"
        build_musl "$folder/lib/$loader.part" || return 1
        mv "$folder/lib/$loader.part" "$folder/lib/$loader"
    fi
    export QEMU_LD_PREFIX=$folder
}

# build_musl FILE: musl's shared object.
build_musl() {
    local work file apt libc=$1
    work=$(mktemp -d) || return 1
    # The lists of sources are the system's, for source packages, and stand beside them.
    mkdir -p "$work/sources" "$work/lists/partial" "$work/cache/archives/partial"
    for file in /etc/apt/sources.list /etc/apt/sources.list.d/*; do
        case $file in
        *.sources) sed 's/^Types:.*/Types: deb-src/' "$file" ;;
        *.list) [ ! -e "$file" ] || sed -n 's/^deb /deb-src /p' "$file" ;;
        esac >"$work/sources/${file##*/}"
    done
    apt=(apt-get -qq -o Dir::Etc::SourceList=/dev/null -o "Dir::Etc::SourceParts=$work/sources"
        -o "Dir::State::Lists=$work/lists" -o "Dir::Cache=$work/cache" -o APT::Sandbox::User=root)
    # Where something is tried, `set -e` does not count.
    (
        cd "$work" && { "${apt[@]}" update || :; } && "${apt[@]}" source --download-only musl &&
            tar -xf musl_*.orig.tar.*z && cd musl-*/ &&
            CC=$cross_folder/cc ./configure --target="$LISPGUARD_ZIG_TARGET" &&
            # The compiler does not link what is shared.
            make -s -j"$(nproc)" lib/libc.so &&
            "$LISPGUARD_ZIG" build-obj -target "$LISPGUARD_ZIG_TARGET" -fPIC -O ReleaseSmall --name compiler-rt \
                "${LISPGUARD_ZIG%/*}/lib/compiler_rt.zig" &&
            # What it hides would be hidden in musl too.
            find obj -name '*.lo' -print0 |
            xargs -0 llvm-nm --defined-only --extern-only --format=just-symbols >own &&
            llvm-objcopy --localize-symbols=own compiler-rt.o &&
            find obj -name '*.lo' -print0 |
            xargs -0 "$LISPGUARD_ZIG" ld.lld -shared -e _dlstart -Bsymbolic-functions --hash-style=sysv \
                -soname libc.so -o "$libc" compiler-rt.o
    ) >"$work/log" 2>&1 || { tail -20 "$work/log" >&2; rm -rf "$work"; return 1; }
    rm -rf "$work"
}

# For cargo's rustc: the whole program is looked at twice. What the first look joins, the second one finds to be the same.
once_more=(-C 'passes=default<Oz> lto<Oz> mergefunc')

# make_stand_in: sets `stand_in` to what a program is linked with in place of the C library that it will find. zig has
# one, but all variables there are at one address: the library would take a program's copy of one for all of them.
make_stand_in() {
    local folder=$lispguard_cache/stand-in-$zig_version-$LISPGUARD_ZIG_TARGET defined=() machine=${LISPGUARD_ZIG_TARGET%%-*}
    stand_in=$folder/libc.so
    [ ! -e "$stand_in" ] || return 0
    case $machine in
    mips*) defined=(-DARCH_mips -DFAMILY_mips -DTIME32) ;;
    arm) defined=(-DARCH_arm -DFAMILY_arm -DTIME32) ;;
    aarch64) defined=(-DARCH_aarch64 -DFAMILY_aarch64 -DPTR64) ;;
    x86_64) defined=(-DARCH_x86_64 -DFAMILY_x86 -DPTR64) ;;
    esac
    mkdir -p "$folder"
    awk '
        /^\.(bss|data|text)/ { is_variable = $1 != ".text" }
        is_variable && /^_+environ:$/ { print ".set " substr($0, 1, length($0) - 1) ", environ"; next }
        { print }
        is_variable && /^[A-Za-z0-9_]+:$/ { print ".space 16" }
    ' "${LISPGUARD_ZIG%/*}/lib/libc/musl/libc.S" >"$folder/libc.S"
    "$LISPGUARD_ZIG" cc -target "$LISPGUARD_ZIG_TARGET" "${defined[@]}" -c "$folder/libc.S" -o "$folder/libc.o"
    "$LISPGUARD_ZIG" ld.lld -shared -soname libc.so --hash-style=sysv "$folder/libc.o" -o "$stand_in.part"
    mv "$stand_in.part" "$stand_in"
}

# make_small static|dynamic: adds what makes a router's program small to what use_target exported, beyond what is in
# openwrt/rustflags: a panic ends it without words, and what is only there for debugging is empty.
make_small() {
    local variable=${rust_target//-/_} architecture=${LISPGUARD_ZIG_TARGET%%-*} flags
    variable=CARGO_TARGET_${variable^^}_RUSTFLAGS
    flags=$(sed -n "s/^\(all\|${architecture%el}\) //p" "$cross_folder/../openwrt/rustflags" | tr '\n' ' ')
    local rustflags="${!variable} $flags -C panic=immediate-abort -Zunstable-options"
    rustflags+=' -Zlocation-detail=none -Zfmt-debug=none'
    # zig would have each thread be given 8 MiB; these are what musl gives.
    rustflags+=' -C link-arg=-Wl,-z,stack-size=131072'
    if [ "$1" = dynamic ]; then
        # Where both are told, the other one counts.
        rustflags=${rustflags/-C target-feature=+crt-static/}' -C target-feature=-crt-static'
        export LISPGUARD_LINKAGE=-dynamic
        make_stand_in
        rustflags+=" -Zpre-link-arg=$stand_in"
    fi
    export "$variable=$rustflags"
}
