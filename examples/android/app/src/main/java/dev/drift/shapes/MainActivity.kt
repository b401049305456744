package dev.drift.shapes

import android.app.Activity
import android.os.Bundle
import android.widget.TextView
import kotlin.concurrent.thread
import kotlin.math.abs
import kotlin.math.hypot

/** Runs the bundle in the assets once, on a drawn ring, and shows the answer. */
class MainActivity : Activity() {
    /** `pixels`: 32 x 32, 0 to 255, row by row. The compiled pipelines are kept in `cache`. */
    private external fun classify(bundle: ByteArray, cache: String, pixels: FloatArray): String

    override fun onCreate(state: Bundle?) {
        super.onCreate(state)
        val view = TextView(this).apply {
            text = "running ..."
            textSize = 20f
            setPadding(48, 96, 48, 48)
        }
        setContentView(view)
        // compiling pipelines takes a moment the first time: not on the thread that draws
        thread {
            val bundle = assets.open("shapes.drift").use { it.readBytes() }
            val answer = classify(bundle, cacheDir.path, ring())
            runOnUiThread { view.text = answer }
        }
    }

    private fun ring() = FloatArray(32 * 32) { i ->
        val radius = hypot(i % 32 - 15.5f, i / 32 - 15.5f)
        if (abs(radius - 9f) < 1.5f) 255f else 0f
    }

    private companion object {
        init {
            System.loadLibrary("shapes")
        }
    }
}
