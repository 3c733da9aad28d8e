#include "ccrypto.h"

#include <limits.h>
#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/evp.h>

/* The incomplete types of the header are libcrypto's own contexts under other names. */
static EVP_CIPHER_CTX *cipher(ccrypto_aead *aead) { return (EVP_CIPHER_CTX *)aead; }
static EVP_MD_CTX *md(ccrypto_sha256 *digest) { return (EVP_MD_CTX *)digest; }

/* Failures are told by the return value alone: a queue left behind would confuse TLS code on the same thread. */
static int library_result(int succeeded) {
    if (succeeded) return CCRYPTO_OK;
    ERR_clear_error();
    return CCRYPTO_LIBRARY_FAILURE;
}

ccrypto_aead *ccrypto_aead_create(const uint8_t *key) {
    EVP_CIPHER_CTX *context = EVP_CIPHER_CTX_new();
    if (context != NULL && EVP_EncryptInit_ex(context, EVP_chacha20_poly1305(), NULL, key, NULL) == 1)
        return (ccrypto_aead *)context;
    EVP_CIPHER_CTX_free(context);
    ERR_clear_error();
    return NULL;
}

void ccrypto_aead_destroy(ccrypto_aead *aead) { EVP_CIPHER_CTX_free(cipher(aead)); }

/* EVP counts in `int`; pieces of age and everything else here are far smaller. */
static int fits_int(size_t length) { return length <= INT_MAX - CCRYPTO_AEAD_TAG_BYTES; }

int ccrypto_aead_seal(ccrypto_aead *aead, const uint8_t *nonce, const uint8_t *plaintext, size_t length,
                      uint8_t *sealed) {
    EVP_CIPHER_CTX *context = cipher(aead);
    int written = 0;
    int succeeded = fits_int(length) && EVP_EncryptInit_ex(context, NULL, NULL, NULL, nonce) == 1 &&
                    (length == 0 || EVP_EncryptUpdate(context, sealed, &written, plaintext, (int)length) == 1) &&
                    EVP_EncryptFinal_ex(context, sealed + written, &written) == 1 &&
                    EVP_CIPHER_CTX_ctrl(context, EVP_CTRL_AEAD_GET_TAG, CCRYPTO_AEAD_TAG_BYTES, sealed + length) == 1;
    return library_result(succeeded);
}

int ccrypto_aead_open(ccrypto_aead *aead, const uint8_t *nonce, const uint8_t *sealed, size_t sealed_length,
                      uint8_t *plaintext) {
    EVP_CIPHER_CTX *context = cipher(aead);
    if (sealed_length < CCRYPTO_AEAD_TAG_BYTES) return CCRYPTO_NOT_AUTHENTIC;
    size_t length = sealed_length - CCRYPTO_AEAD_TAG_BYTES;
    uint8_t unused[CCRYPTO_AEAD_TAG_BYTES];
    int written = 0;
    /* The control call takes a mutable pointer but only reads the tag. */
    int ready = fits_int(length) && EVP_DecryptInit_ex(context, NULL, NULL, NULL, nonce) == 1 &&
                EVP_CIPHER_CTX_ctrl(context, EVP_CTRL_AEAD_SET_TAG, CCRYPTO_AEAD_TAG_BYTES,
                                    (void *)(uintptr_t)(sealed + length)) == 1 &&
                (length == 0 || EVP_DecryptUpdate(context, plaintext, &written, sealed, (int)length) == 1);
    if (ready && EVP_DecryptFinal_ex(context, unused, &written) == 1) return CCRYPTO_OK;
    if (length > 0) OPENSSL_cleanse(plaintext, length);
    ERR_clear_error();
    return ready ? CCRYPTO_NOT_AUTHENTIC : CCRYPTO_LIBRARY_FAILURE;
}

ccrypto_sha256 *ccrypto_sha256_create(void) {
    EVP_MD_CTX *context = EVP_MD_CTX_new();
    if (context != NULL && EVP_DigestInit_ex(context, EVP_sha256(), NULL) == 1) return (ccrypto_sha256 *)context;
    EVP_MD_CTX_free(context);
    ERR_clear_error();
    return NULL;
}

ccrypto_sha256 *ccrypto_sha256_copy(const ccrypto_sha256 *digest) {
    EVP_MD_CTX *context = EVP_MD_CTX_new();
    if (context != NULL && EVP_MD_CTX_copy_ex(context, (const EVP_MD_CTX *)digest) == 1)
        return (ccrypto_sha256 *)context;
    EVP_MD_CTX_free(context);
    ERR_clear_error();
    return NULL;
}

void ccrypto_sha256_destroy(ccrypto_sha256 *digest) { EVP_MD_CTX_free(md(digest)); }

int ccrypto_sha256_reset(ccrypto_sha256 *digest) {
    return library_result(EVP_DigestInit_ex(md(digest), NULL, NULL) == 1);
}

int ccrypto_sha256_update(ccrypto_sha256 *digest, const void *bytes, size_t length) {
    return library_result(length == 0 || EVP_DigestUpdate(md(digest), bytes, length) == 1);
}

int ccrypto_sha256_finish(ccrypto_sha256 *digest, uint8_t *result) {
    return library_result(EVP_DigestFinal_ex(md(digest), result, NULL) == 1 &&
                          EVP_DigestInit_ex(md(digest), NULL, NULL) == 1);
}

int ccrypto_scrypt(const uint8_t *passphrase, size_t passphrase_length, const uint8_t *salt, size_t salt_length,
                   unsigned log_n, uint8_t *key, size_t key_length) {
    if (log_n < 1 || log_n > 30) return CCRYPTO_LIBRARY_FAILURE;
    uint64_t n = UINT64_C(1) << log_n;
    /* libcrypto compares its whole need, 128 r (N + p) bytes and a little more, with this limit. */
    uint64_t memory_limit_bytes = 1024 * n + (1 << 20);
    int succeeded = EVP_PBE_scrypt((const char *)passphrase, passphrase_length, salt, salt_length, n, 8, 1,
                                   memory_limit_bytes, key, key_length) == 1;
    return library_result(succeeded);
}
