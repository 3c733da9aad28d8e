# The libcurl that is linked into the static executable, built from Debian's sources; to be sourced after common.sh.
# shellcheck shell=bash

# What the shim asks for and nothing else: HTTP over OpenSSL, proxies, and names looked up by the C library on a thread, as
# Debian's own libcurl does it, which the tests use.
readonly LIBCURL_OPTIONS=(
    --disable-shared --enable-static --with-pic --disable-dependency-tracking
    --enable-http --with-openssl --enable-proxy --enable-threaded-resolver --enable-ipv6
    --disable-ares --disable-openssl-auto-load-config --without-ca-bundle --without-ca-path
    --disable-ftp --disable-file --disable-ldap --disable-ldaps --disable-rtsp --disable-dict --disable-telnet
    --disable-tftp --disable-pop3 --disable-imap --disable-smb --disable-smtp --disable-gopher --disable-mqtt
    --disable-websockets --disable-manual --disable-libcurl-option --disable-unix-sockets --disable-cookies
    --disable-alt-svc --disable-hsts --disable-doh --disable-netrc --disable-mime --disable-crypto-auth
    --disable-ntlm --disable-ntlm-wb --disable-tls-srp --disable-aws --disable-progress-meter --disable-dateparse
    --without-zlib --without-brotli --without-zstd --without-libpsl --without-libidn2 --without-nghttp2
    --without-ngtcp2 --without-nghttp3 --without-quiche --without-msh3 --without-libssh --without-libssh2 --without-librtmp
    --without-gssapi --without-hyper --without-zsh-functions-dir --without-fish-functions-dir
)
# Sections of their own, so that the linker leaves out what is not used; no path of this machine.
readonly LIBCURL_CFLAGS="-O2 -g0 -ffunction-sections -fdata-sections -fstack-protector-strong"
readonly LIBCURL_CPPFLAGS="-D_FORTIFY_SOURCE=2"

# The version of Debian's sources that the installed headers come from.
libcurl_version() {
    # shellcheck disable=SC2016 # expanded by dpkg-query
    dpkg-query -W -f '${source:Version}' libcurl4-openssl-dev 2>/dev/null || echo unknown
}

libcurl_directory() {
    printf '%s/libcurl\n' "$ETCD_SNAP_TEST_TOOLS"
}

# One line for the version and one for how it is built: another of either builds anew.
libcurl_stamp() {
    printf 'curl %s\n' "$1"
    printf '%s\n' "${LIBCURL_OPTIONS[*]}" "$LIBCURL_CFLAGS" "$LIBCURL_CPPFLAGS" | sha256sum | cut -d ' ' -f 1
}

libcurl_is_current() {
    local directory
    directory=$(libcurl_directory)
    [[ -f $directory/lib/libcurl.a && -f $directory/source ]] \
        && cmp --silent "$directory/source" <(libcurl_stamp "$(libcurl_version)")
}

# build_libcurl SOURCES VERSION: builds the sources, in their directory, and puts the archive in its place.
build_libcurl() {
    local sources=$1 version=$2 directory
    directory=$(libcurl_directory)
    (
        cd "$sources"
        ./configure --prefix=/usr "${LIBCURL_OPTIONS[@]}" CC=gcc CPPFLAGS="$LIBCURL_CPPFLAGS" \
            CFLAGS="$LIBCURL_CFLAGS -ffile-prefix-map=$PWD=."
        make -C lib -j "$(nproc)"
    ) || return
    rm -rf "$directory" "$directory.partial"
    install -D -m 644 "$sources/lib/.libs/libcurl.a" "$directory.partial/lib/libcurl.a"
    install -m 644 "$sources/debian/copyright" "$directory.partial/copyright"
    libcurl_stamp "$version" >"$directory.partial/source"
    mv "$directory.partial" "$directory"
}
