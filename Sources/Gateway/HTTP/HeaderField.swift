/// A header field as positions in the head that it stands in.
struct HeaderField: BitwiseCopyable {
    var name = ByteRange()
    /// Without white space around it.
    var value = ByteRange()
    /// Where the field's line starts and ends, its CRLF included.
    var line = ByteRange()
    var kind = Kind.other

    /// The fields that a proxy must understand.
    enum Kind: UInt8 {
        case other
        case host
        case connection
        case contentLength
        case transferEncoding
        case upgrade
        case expect
        case keepAlive
        case proxyConnection
        case proxyAuthenticate
        case te
        case trailer
        case forwardedFor
        case forwardedHost
        case forwardedProto
        case requestID
        case http2Settings
        case forwarded
        // For hashes and the access log:
        case cookie
        case referer
        case userAgent

        /// Fields that concern one connection only (RFC 9110 §7.6.1) and end here whatever `Connection` says. `Trailer` goes on,
        /// because trailers do.
        var isHopByHop: Bool {
            switch self {
            case .connection, .upgrade, .keepAlive, .proxyConnection, .te, .transferEncoding, .http2Settings: true
            default: false
            }
        }
    }
}

extension HeaderField.Kind {
    /// Classifies by length first, so that most names cost one comparison.
    static func of(_ name: ByteSpan) -> HeaderField.Kind {
        switch name.count {
        case 2: name.equalsIgnoringCase("te") ? .te : .other
        case 4: name.equalsIgnoringCase("host") ? .host : .other
        case 6:
            if name.equalsIgnoringCase("expect") {
                .expect
            } else if name.equalsIgnoringCase("cookie") {
                .cookie
            } else {
                .other
            }
        case 7:
            if name.equalsIgnoringCase("upgrade") {
                .upgrade
            } else if name.equalsIgnoringCase("trailer") {
                .trailer
            } else if name.equalsIgnoringCase("referer") {
                .referer
            } else {
                .other
            }
        case 9: name.equalsIgnoringCase("forwarded") ? .forwarded : .other
        case 10:
            if name.equalsIgnoringCase("connection") {
                .connection
            } else if name.equalsIgnoringCase("keep-alive") {
                .keepAlive
            } else if name.equalsIgnoringCase("user-agent") {
                .userAgent
            } else {
                .other
            }
        case 12: name.equalsIgnoringCase("x-request-id") ? .requestID : .other
        case 14:
            if name.equalsIgnoringCase("content-length") {
                .contentLength
            } else if name.equalsIgnoringCase("http2-settings") {
                .http2Settings
            } else {
                .other
            }
        case 15: name.equalsIgnoringCase("x-forwarded-for") ? .forwardedFor : .other
        case 16:
            if name.equalsIgnoringCase("proxy-connection") {
                .proxyConnection
            } else if name.equalsIgnoringCase("x-forwarded-host") {
                .forwardedHost
            } else {
                .other
            }
        case 17:
            if name.equalsIgnoringCase("transfer-encoding") {
                .transferEncoding
            } else if name.equalsIgnoringCase("x-forwarded-proto") {
                .forwardedProto
            } else {
                .other
            }
        default: .other
        }
    }
}
