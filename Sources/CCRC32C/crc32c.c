#include "crc32c.h"

#include <string.h>

#if defined(__x86_64__)
#include <immintrin.h>
#endif

// x^0 in the reflected representation: bit 31 is the coefficient of x^0.
static const uint32_t one = 0x80000000u;
static const uint32_t polynomial = 0x82F63B78u;

static struct {
    // Slicing-by-8 tables: byte[k][b] is the effect of byte b with k zero bytes behind it.
    uint32_t byte[8][256];
    // x^(8·b·256^k) modulo the polynomial: moving a checksum past b·256^k bytes, for every byte of a 64-bit count.
    uint32_t shift[8][256];
    // The same times x^-33, which the carry-less product below adds; only for counts below 65536.
    uint32_t shift_less_33[2][256];
    int accelerated;
} tables;

static uint32_t multiply_portable(uint32_t a, uint32_t b) {
    uint32_t product = 0;
    for (int bit = 0; bit < 32; bit++) {
        product ^= b & (0u - (a >> 31));
        a <<= 1;
        b = (b >> 1) ^ (polynomial & (0u - (b & 1)));
    }
    return product;
}

// b / x modulo the polynomial; the polynomial has a constant term, so x can be divided by.
static uint32_t divide_by_x(uint32_t b) {
    return (b & 0x80000000u) ? ((b ^ polynomial) << 1) | 1u : b << 1;
}

static void fill_byte_tables(void) {
    for (uint32_t value = 0; value < 256; value++) {
        uint32_t crc = value;
        for (int bit = 0; bit < 8; bit++) crc = (crc >> 1) ^ (polynomial & (0u - (crc & 1)));
        tables.byte[0][value] = crc;
    }
    for (int k = 1; k < 8; k++) {
        for (int value = 0; value < 256; value++) {
            uint32_t crc = tables.byte[k - 1][value];
            tables.byte[k][value] = (crc >> 8) ^ tables.byte[0][crc & 0xFF];
        }
    }
}

static void fill_shift_tables(void) {
    uint32_t step = one >> 8;
    for (int k = 0; k < 8; k++) {
        uint32_t power = one;
        for (int b = 0; b < 256; b++) {
            tables.shift[k][b] = power;
            power = multiply_portable(power, step);
        }
        step = power;
    }
    for (int k = 0; k < 2; k++) {
        for (int b = 0; b < 256; b++) {
            uint32_t power = tables.shift[k][b];
            for (int i = 0; i < 33; i++) power = divide_by_x(power);
            tables.shift_less_33[k][b] = power;
        }
    }
}

__attribute__((constructor)) static void prepare(void) {
    fill_byte_tables();
    fill_shift_tables();
#if defined(__x86_64__)
    __builtin_cpu_init();
    tables.accelerated = __builtin_cpu_supports("sse4.2") && __builtin_cpu_supports("pclmul");
#endif
}

uint32_t crc32c_extend_portable(uint32_t crc, const void *bytes, size_t count) {
    const uint8_t *at = bytes;
    crc = ~crc;
    for (; count >= 8; count -= 8, at += 8) {
        crc ^= (uint32_t)at[0] | (uint32_t)at[1] << 8 | (uint32_t)at[2] << 16 | (uint32_t)at[3] << 24;
        crc = tables.byte[7][crc & 0xFF] ^ tables.byte[6][crc >> 8 & 0xFF] ^ tables.byte[5][crc >> 16 & 0xFF] ^
              tables.byte[4][crc >> 24] ^ tables.byte[3][at[4]] ^ tables.byte[2][at[5]] ^ tables.byte[1][at[6]] ^
              tables.byte[0][at[7]];
    }
    for (; count > 0; count--, at++) crc = (crc >> 8) ^ tables.byte[0][(crc ^ *at) & 0xFF];
    return ~crc;
}

#if defined(__x86_64__)
// a·b: the carry-less product has 63 bits, one short of a 64-bit remainder input, and the instruction multiplies by
// x^32 while it reduces; so the result is a·b·x^33.
__attribute__((target("sse4.2,pclmul"))) static inline uint32_t multiply_33(uint32_t a, uint32_t b) {
    __m128i product = _mm_clmulepi64_si128(_mm_cvtsi32_si128((int)a), _mm_cvtsi32_si128((int)b), 0);
    return (uint32_t)_mm_crc32_u64(0, (uint64_t)_mm_cvtsi128_si64(product));
}

__attribute__((target("sse4.2,pclmul"))) static inline uint32_t shift_below_64k(uint32_t crc, uint32_t count) {
    crc = multiply_33(crc, tables.shift_less_33[0][count & 0xFF]);
    return count >> 8 ? multiply_33(crc, tables.shift_less_33[1][count >> 8]) : crc;
}

static inline uint64_t load64(const uint8_t *at) {
    uint64_t value;
    memcpy(&value, at, 8);
    return value;
}

__attribute__((target("sse4.2,pclmul"))) static uint32_t extend_accelerated(
    uint32_t crc, const uint8_t *at, size_t count) {
    uint32_t state = ~crc;
    // The instruction takes three cycles but one can start in each, so three lanes run side by side.
    while (count >= 384) {
        size_t lane = count / 24 * 8;
        if (lane > 8192) lane = 8192;
        uint64_t a = state, b = 0, c = 0;
        for (size_t i = 0; i < lane; i += 8) {
            a = _mm_crc32_u64(a, load64(at + i));
            b = _mm_crc32_u64(b, load64(at + lane + i));
            c = _mm_crc32_u64(c, load64(at + 2 * lane + i));
        }
        b ^= shift_below_64k((uint32_t)a, (uint32_t)lane);
        state = (uint32_t)c ^ shift_below_64k((uint32_t)b, (uint32_t)lane);
        at += 3 * lane;
        count -= 3 * lane;
    }
    uint64_t wide = state;
    for (; count >= 8; count -= 8, at += 8) wide = _mm_crc32_u64(wide, load64(at));
    state = (uint32_t)wide;
    for (; count > 0; count--, at++) state = _mm_crc32_u8(state, *at);
    return ~state;
}
#endif

uint32_t crc32c_extend(uint32_t crc, const void *bytes, size_t count) {
#if defined(__x86_64__)
    if (tables.accelerated) return extend_accelerated(crc, bytes, count);
#endif
    return crc32c_extend_portable(crc, bytes, count);
}

uint32_t crc32c_combine(uint32_t crc_first, uint32_t crc_second, uint64_t count_second) {
#if defined(__x86_64__)
    if (tables.accelerated && count_second < 65536) {
        return shift_below_64k(crc_first, (uint32_t)count_second) ^ crc_second;
    }
#endif
    for (int k = 0; count_second != 0; k++, count_second >>= 8) {
        if (count_second & 0xFF) crc_first = multiply_portable(crc_first, tables.shift[k][count_second & 0xFF]);
    }
    return crc_first ^ crc_second;
}
