#include <sodium/crypto_secretbox.h>
