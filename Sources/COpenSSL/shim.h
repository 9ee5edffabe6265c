#pragma once

#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>

// OpenSSL 3 offers a part of its interface as macros, which Swift does not see. These are the ones in use, as functions.

static inline uint64_t copenssl_set_mode(SSL_CTX *context, long mode) { return (uint64_t)SSL_CTX_set_mode(context, mode); }

/// Also drops the buffers of a session while nothing is in them, and lets a write be repeated from other memory.
enum {
    COPENSSL_SMALL_IDLE_MODE =
        SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER,
};

static inline int copenssl_set_version_bounds(SSL_CTX *context, int lowest, int highest) {
    return SSL_CTX_set_min_proto_version(context, lowest) && SSL_CTX_set_max_proto_version(context, highest);
}

static inline void copenssl_set_read_ahead(SSL_CTX *context) { SSL_CTX_set_read_ahead(context, 1); }

static inline long copenssl_set_session_cache_mode(SSL_CTX *context, long mode) {
    return SSL_CTX_set_session_cache_mode(context, mode);
}

/// The server's name that a client asks for; `name` ends with a zero.
static inline int copenssl_set_host_name(SSL *session, const char *name) {
    return (int)SSL_set_tlsext_host_name(session, name);
}

static inline int copenssl_set_groups(SSL_CTX *context, const char *list) {
    return (int)SSL_CTX_set1_groups_list(context, list);
}

typedef int (*copenssl_server_name_callback)(SSL *session, int *alert, void *argument);

static inline void copenssl_set_server_name_callback(
    SSL_CTX *context, copenssl_server_name_callback callback, void *argument) {
    SSL_CTX_set_tlsext_servername_callback(context, callback);
    SSL_CTX_set_tlsext_servername_arg(context, argument);
}

typedef int (*copenssl_ticket_key_callback)(
    SSL *session, unsigned char *name, unsigned char *vector, EVP_CIPHER_CTX *cipher, EVP_MAC_CTX *mac, int encrypts);

static inline void copenssl_set_ticket_key_callback(SSL_CTX *context, copenssl_ticket_key_callback callback) {
    SSL_CTX_set_tlsext_ticket_key_evp_cb(context, callback);
}

/// Takes the issuer chain of the leaf over from the caller when it returns 1.
static inline int copenssl_add_chain_certificate(SSL_CTX *context, X509 *certificate) {
    return (int)SSL_CTX_add0_chain_cert(context, certificate);
}

static inline void copenssl_bio_set_retry_read(BIO *bio) { BIO_set_retry_read(bio); }
static inline void copenssl_bio_set_retry_write(BIO *bio) { BIO_set_retry_write(bio); }
static inline void copenssl_bio_clear_retry(BIO *bio) { BIO_clear_retry_flags(bio); }

/// Whether an error is that of a PEM file that holds no further part.
static inline int copenssl_is_end_of_pem(unsigned long error) {
    return ERR_GET_LIB(error) == ERR_LIB_PEM && ERR_GET_REASON(error) == PEM_R_NO_START_LINE;
}

/// A server's options: no renegotiation, no compression, the server's order of ciphers unless the client prefers ChaCha20.
static inline void copenssl_set_server_options(SSL_CTX *context) {
    SSL_CTX_set_options(
        context,
        SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION | SSL_OP_CIPHER_SERVER_PREFERENCE | SSL_OP_PRIORITIZE_CHACHA
            | SSL_OP_IGNORE_UNEXPECTED_EOF);
}
