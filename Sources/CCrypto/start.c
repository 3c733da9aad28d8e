/* Prepares libcrypto for everybody who uses it, which is not this module alone: gRPC and libcurl do. */
#include <openssl/crypto.h>

/*
 * Keeps OpenSSL from freeing its tables at exit, while gRPC's threads may still be shaking hands: that ends in a crash after
 * all work is done. It has to come before anybody's first use of OpenSSL, so when the program is loaded.
 * Nor does it read a host's openssl.cnf, which is for another libcrypto and may name providers to load.
 */
__attribute__((constructor)) static void prepare_openssl(void) {
    (void)OPENSSL_init_crypto(OPENSSL_INIT_NO_ATEXIT | OPENSSL_INIT_NO_LOAD_CONFIG, NULL);
}
