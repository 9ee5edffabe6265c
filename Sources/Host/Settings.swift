import Foundation
import SystemPackage

/// What `sampan up` was told, kept in the home so that every later command and every restart agrees with it.
package struct Settings: Codable, Hashable, Sendable {
    package var apiPort = 6443
    package var webPort = 8080
    package var gatewayPort = 80
    package var gatewayTLSPort = 443
    package var podCIDR = "10.42.0.0/16"
    package var serviceCIDR = "10.43.0.0/16"
    /// Applications are served at `<project>-<environment>.<domain>`.
    package var domain = "localhost"

    package init() {}

    /// What an older version did not save has its default.
    package init(from decoder: any Decoder) throws {
        let values = try decoder.container(keyedBy: CodingKeys.self)
        apiPort = try values.decodeIfPresent(Int.self, forKey: .apiPort) ?? apiPort
        webPort = try values.decodeIfPresent(Int.self, forKey: .webPort) ?? webPort
        gatewayPort = try values.decodeIfPresent(Int.self, forKey: .gatewayPort) ?? gatewayPort
        gatewayTLSPort = try values.decodeIfPresent(Int.self, forKey: .gatewayTLSPort) ?? gatewayTLSPort
        podCIDR = try values.decodeIfPresent(String.self, forKey: .podCIDR) ?? podCIDR
        serviceCIDR = try values.decodeIfPresent(String.self, forKey: .serviceCIDR) ?? serviceCIDR
        domain = try values.decodeIfPresent(String.self, forKey: .domain) ?? domain
    }

    /// The settings of `home`, or `nil` where none were saved.
    package static func load(from home: Home) throws -> Settings? {
        guard FileManager.default.fileExists(atPath: home.settingsFile.string) else { return nil }
        let data = try Data(contentsOf: URL(filePath: home.settingsFile.string))
        do {
            return try JSONDecoder().decode(Settings.self, from: data)
        } catch {
            throw HostError(
                "\(home.settingsFile) is not valid (\(error)); restore it or remove it and run 'sampan up' again"
            )
        }
    }

    package func save(to home: Home) throws {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.prettyPrinted, .sortedKeys]
        try DurableFile.write(Array(try encoder.encode(self)), to: home.settingsFile, mode: 0o600)
    }
}

/// A failure that the person at the keyboard can do something about; the message says what.
package struct HostError: Error, CustomStringConvertible {
    package let description: String
    package init(_ description: String) { self.description = description }
}
