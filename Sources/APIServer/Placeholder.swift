import Crypto
import GRDB
import Hummingbird
import HummingbirdTLS
import SwiftASN1
import X509
