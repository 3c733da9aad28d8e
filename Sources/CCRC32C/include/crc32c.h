// CRC-32C (Castagnoli), as etcd uses it for its hashes, its write-ahead log and its raft snapshots.
//
// Reflected polynomial 0x82F63B78, initial value and final xor 0xFFFFFFFF (RFC 3720, appendix B.4). All functions are
// pure, safe to call from several threads at once, and give the same results with and without SSE 4.2 and PCLMULQDQ,
// which are looked for at run time.
#pragma once

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

// The checksum of some bytes followed by `count` bytes at `bytes`; `crc` is the checksum of the former, 0 for none.
uint32_t crc32c_extend(uint32_t crc, const void *_Nullable bytes, size_t count);

// The checksum of two runs of bytes in sequence, from the checksums of each and the byte count of the second.
uint32_t crc32c_combine(uint32_t crc_first, uint32_t crc_second, uint64_t count_second);

// The same as `crc32c_extend`, always without special instructions; for comparison in tests.
uint32_t crc32c_extend_portable(uint32_t crc, const void *_Nullable bytes, size_t count);

#ifdef __cplusplus
}
#endif
