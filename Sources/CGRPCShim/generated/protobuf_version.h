// Says what to do where the installed libprotobuf doesn't fit the committed generated code.
#ifndef CGRPC_PROTOBUF_VERSION_H
#define CGRPC_PROTOBUF_VERSION_H

#if !__has_include(<google/protobuf/stubs/common.h>)
#error "libprotobuf's headers are missing: install libprotobuf-dev (3.21; Debian 12, Debian 13 or Ubuntu 24.04)"
#else
#include <google/protobuf/stubs/common.h>
#if GOOGLE_PROTOBUF_VERSION < 3021000 || GOOGLE_PROTOBUF_VERSION >= 3022000
#error "etcd.pb.cc is for libprotobuf 3.21: install libprotobuf-dev 3.21 and protobuf-compiler 3.21, then run scripts/generate-proto"
#endif
#endif

#endif
