import CLinux
import COpenSSL

/// OpenSSL allocates buffers and small things for each record, and must not keep them for connections that are idle. It takes them from the
/// pools that workers have.
enum RecordMemory {
    /// To be called before OpenSSL is used for the first time: once it has allocated anything, it stays with what it has.
    static func prepare() { _ = isPooled }

    private static let isPooled =
        CRYPTO_set_mem_functions(clinux_pool_allocate, clinux_pool_reallocate, clinux_pool_free) == 1
}
