#ifndef CCRYPTO_H
#define CCRYPTO_H

/*
 * The few libcrypto operations (OpenSSL 3.0, EVP) that bulk data passes through: ChaCha20-Poly1305 and SHA-256 with
 * contexts that are set up once and used for many pieces, scrypt, and a wipe that the compiler can't remove.
 *
 * A context has one owner and one user at a time; different contexts may be used by different threads at once.
 * Functions that can fail return CCRYPTO_OK or another of the constants below, and leave nothing in OpenSSL's queue of
 * errors.
 */

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#if defined(__clang__)
#pragma clang assume_nonnull begin
#define CCRYPTO_NULLABLE _Nullable
#else
#define CCRYPTO_NULLABLE
#endif

enum {
    /* The call did what it says. */
    CCRYPTO_OK = 0,
    /* The tag does not fit the text, the nonce and the key: damaged, or another key. */
    CCRYPTO_NOT_AUTHENTIC = 1,
    /* libcrypto refused: not enough memory, or a parameter or an algorithm that it does not allow. */
    CCRYPTO_LIBRARY_FAILURE = 2,
};

enum {
    CCRYPTO_AEAD_KEY_BYTES = 32,
    CCRYPTO_AEAD_NONCE_BYTES = 12,
    CCRYPTO_AEAD_TAG_BYTES = 16,
    CCRYPTO_SHA256_BYTES = 32,
};

/* ---- ChaCha20-Poly1305 (RFC 8439) without associated data ---- */

/* A key that is ready for use. */
typedef struct ccrypto_aead ccrypto_aead;

/* Sets up a key; NULL if libcrypto can't. The key is copied. The caller owns the result. */
ccrypto_aead *CCRYPTO_NULLABLE ccrypto_aead_create(const uint8_t *key /* CCRYPTO_AEAD_KEY_BYTES */);

/* Wipes the key and frees the context; NULL is allowed. */
void ccrypto_aead_destroy(ccrypto_aead *CCRYPTO_NULLABLE aead);

/*
 * Encrypts `length` bytes of `plaintext` into `sealed`, which has room for CCRYPTO_AEAD_TAG_BYTES more: the tag comes
 * last. `sealed` may be `plaintext` itself, which seals in place, but must not overlap it in any other way.
 * A nonce must never be used twice with one key.
 */
int ccrypto_aead_seal(ccrypto_aead *aead, const uint8_t *nonce /* CCRYPTO_AEAD_NONCE_BYTES */,
                      const uint8_t *CCRYPTO_NULLABLE plaintext, size_t length, uint8_t *sealed);

/*
 * Decrypts `sealed_length` bytes, tag included, into `plaintext`, which has room for the bytes without the tag and may
 * be `sealed` itself. Only CCRYPTO_OK leaves plaintext there; otherwise the room is filled with zeros.
 * Fewer bytes than a tag are CCRYPTO_NOT_AUTHENTIC.
 */
int ccrypto_aead_open(ccrypto_aead *aead, const uint8_t *nonce /* CCRYPTO_AEAD_NONCE_BYTES */,
                      const uint8_t *sealed, size_t sealed_length, uint8_t *CCRYPTO_NULLABLE plaintext);

/* ---- SHA-256 (FIPS 180-4) ---- */

/* A digest under way. */
typedef struct ccrypto_sha256 ccrypto_sha256;

/* The digest of no bytes yet; NULL if libcrypto can't. The caller owns the result. */
ccrypto_sha256 *CCRYPTO_NULLABLE ccrypto_sha256_create(void);

/* A second digest that has seen the same bytes; NULL if libcrypto can't. The caller owns the result. */
ccrypto_sha256 *CCRYPTO_NULLABLE ccrypto_sha256_copy(const ccrypto_sha256 *digest);

/* Frees a digest; NULL is allowed. */
void ccrypto_sha256_destroy(ccrypto_sha256 *CCRYPTO_NULLABLE digest);

/* Forgets the bytes seen so far. */
int ccrypto_sha256_reset(ccrypto_sha256 *digest);

/* Adds bytes. */
int ccrypto_sha256_update(ccrypto_sha256 *digest, const void *CCRYPTO_NULLABLE bytes, size_t length);

/* Writes the digest of the bytes seen so far, and resets. */
int ccrypto_sha256_finish(ccrypto_sha256 *digest, uint8_t *result /* CCRYPTO_SHA256_BYTES */);

/* ---- keys ---- */

/*
 * scrypt (RFC 7914) with r = 8, p = 1 and N = 2^log_n; needs 1 KiB * N of memory. `log_n` is from 1 to 30, which the
 * caller has to bound further when it comes from untrusted input.
 */
int ccrypto_scrypt(const uint8_t *CCRYPTO_NULLABLE passphrase, size_t passphrase_length, const uint8_t *salt,
                   size_t salt_length, unsigned log_n, uint8_t *key, size_t key_length);

#if defined(__clang__)
#pragma clang assume_nonnull end
#endif

#ifdef __cplusplus
}
#endif

#endif
