/// What the shop sells, and the answers to requests about it. Pure, so that the tests need no server.
struct Catalog {
    struct Product {
        let id: Int
        let name: String
        let cents: Int
    }

    let products = [
        Product(id: 1, name: "Tea, jasmine, 100 g", cents: 690),
        Product(id: 2, name: "Teapot, clay", cents: 3400),
        Product(id: 3, name: "Cup, porcelain", cents: 950),
    ]

    struct Response {
        let status: String
        let type: String
        let body: String
    }

    func response(method: Substring, path: Substring) -> Response {
        guard method == "GET" || method == "HEAD" else {
            return Response(status: "405 Method Not Allowed", type: "text/plain", body: "GET only\n")
        }
        switch path {
        case "/healthz": return Response(status: "200 OK", type: "text/plain", body: "ok\n")
        case "/", "/products": return Response(status: "200 OK", type: "text/html", body: list)
        default: return Response(status: "404 Not Found", type: "text/plain", body: "no such product\n")
        }
    }

    private var list: String {
        let items = products.map { product in
            let cents = product.cents % 100
            return "<li>\(product.name) — ¥\(product.cents / 100).\(cents < 10 ? "0" : "")\(cents)</li>"
        }
        return "<ul>\n\(items.joined(separator: "\n"))\n</ul>\n"
    }
}
