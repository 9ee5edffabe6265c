#pragma once

#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/params.h>
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

static inline int copenssl_refuse_password(char *buffer, int size, int is_writing, void *context) {
    (void)buffer, (void)size, (void)is_writing, (void)context;
    return -1;
}

/// Reads a private key; one that is encrypted is refused instead of asking the terminal for its password.
static inline EVP_PKEY *copenssl_read_private_key(BIO *pem) {
    return PEM_read_bio_PrivateKey(pem, NULL, copenssl_refuse_password, NULL);
}

static inline X509 *copenssl_read_certificate(BIO *pem) {
    return PEM_read_bio_X509(pem, NULL, copenssl_refuse_password, NULL);
}

/// Whether two certificates are made out to the same alternative names.
static inline int copenssl_has_same_names(const X509 *left, const X509 *right) {
    int l = X509_get_ext_by_NID(left, NID_subject_alt_name, -1), r = X509_get_ext_by_NID(right, NID_subject_alt_name, -1);
    if (l < 0 || r < 0) return 0;
    return ASN1_OCTET_STRING_cmp(
               X509_EXTENSION_get_data(X509_get_ext(left, l)), X509_EXTENSION_get_data(X509_get_ext(right, r)))
        == 0;
}

/// Makes the contexts of one session ticket ready: AES-256 in CBC mode and HMAC with SHA-256, each with a key of 32 bytes.
static inline int copenssl_start_ticket(
    EVP_CIPHER_CTX *cipher, EVP_MAC_CTX *mac, unsigned char *cipher_key, unsigned char *mac_key,
    const unsigned char *vector, int encrypts) {
    OSSL_PARAM parameters[] = {
        OSSL_PARAM_construct_octet_string("key", mac_key, 32),
        OSSL_PARAM_construct_utf8_string("digest", "SHA256", 0),
        OSSL_PARAM_construct_end(),
    };
    return EVP_CipherInit_ex(cipher, EVP_aes_256_cbc(), NULL, cipher_key, vector, encrypts)
        && EVP_MAC_CTX_set_params(mac, parameters);
}

/// Gives a session the bounds of the versions that a context has.
static inline int copenssl_take_version_bounds(SSL *session, SSL_CTX *context) {
    return SSL_set_min_proto_version(session, (int)SSL_CTX_get_min_proto_version(context))
        && SSL_set_max_proto_version(session, (int)SSL_CTX_get_max_proto_version(context));
}

static inline int copenssl_reason(unsigned long error) { return ERR_GET_REASON(error); }
