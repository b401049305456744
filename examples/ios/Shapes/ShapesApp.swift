import SwiftUI

/// Runs the bundle of the app once, on a drawn ring, and shows the answer.
@main
struct ShapesApp: App {
    @State private var answer = "running ..."

    var body: some Scene {
        WindowGroup {
            Text(answer)
                .font(.title2)
                .padding()
                .task {
                    // compiling pipelines takes a moment the first time: not on the thread that draws
                    answer = await Task.detached { Self.run() }.value
                }
        }
    }

    private static func run() -> String {
        guard let path = Bundle.main.path(forResource: "shapes", ofType: "drift") else {
            return "shapes.drift is not part of the app: see README.md"
        }
        let cache = FileManager.default.urls(for: .cachesDirectory, in: .userDomainMask)[0].path
        do {
            let model = try Model(path: path, cache: cache)
            let (name, logit) = try model.classify(ring())
            return "\(model.device): \(name) (logit \(logit))"
        } catch let error as DriftError {
            return "error \(error.status): \(error.message)"
        } catch {
            return "\(error)"
        }
    }

    private static func ring() -> [Float] {
        (0..<32 * 32).map { i in
            let (x, y) = (Float(i % 32) - 15.5, Float(i / 32) - 15.5)
            return abs((x * x + y * y).squareRoot() - 9) < 1.5 ? 255 : 0
        }
    }
}
