//! From the text of a kernel to C++: the text itself in a namespace of its own, and behind it a
//! function that calls the entry point with what the engine knows.

/// What kernels of a batch become, and the table of them.
pub fn batch(kernels: &[(&str, &str)]) -> Result<String, String> {
    let mut out = String::from("#include <metal_stdlib>\n");
    let mut table = String::new();
    for (i, (text, entry)) in kernels.iter().enumerate() {
        out += &one(i, text, entry).map_err(|e| format!("kernel {i}: {e}\n{text}"))?;
        table += &format!("k{i}::table,\n");
    }
    out += &format!(
        "extern \"C\" __attribute__((visibility(\"default\")))\n\
         const drift::Kernel drift_kernels[] = {{\n{table}}};\n"
    );
    Ok(out)
}

/// What an argument of an entry point is to be given.
fn value(declared: &str, attribute: &str) -> Result<String, String> {
    let number = |name: &str| -> Option<u32> {
        attribute.strip_prefix(name)?.strip_prefix('(')?.strip_suffix(')')?.parse().ok()
    };
    if let Some(slot) = number("buffer") {
        // `device type_1 const& x`
        let ty = declared.trim_start_matches("device ").split([' ', '&']).next();
        let ty = ty.ok_or_else(|| format!("no type in `{declared}`"))?;
        return Ok(format!("drift::buffer<{ty}>(a, {slot})"));
    }
    if let Some(slot) = number("texture") {
        return Ok(format!("{{a.slots + {slot}}}"));
    }
    Ok(match attribute {
        "thread_position_in_grid" => "l.global",
        "threadgroup_position_in_grid" => "l.group",
        "thread_position_in_threadgroup" => "l.local",
        "thread_index_in_threadgroup" => "l.index",
        "simdgroup_index_in_threadgroup" => "l.simd_group",
        "thread_index_in_simdgroup" => "l.simd_lane",
        "threads_per_simdgroup" => "drift::SIMD_LANES",
        other => return Err(format!("an argument with the attribute [[{other}]]")),
    }
    .to_owned())
}

fn one(i: usize, text: &str, entry: &str) -> Result<String, String> {
    let head = format!("kernel void {entry}(");
    let (before, rest) = text.split_once(&head).ok_or_else(|| format!("no `{head}`"))?;
    let (arguments, body) = rest.split_once("\n) {\n").ok_or("the arguments do not end")?;
    let mut values = Vec::new();
    for line in arguments.lines().map(|l| l.trim_start_matches([' ', ','])) {
        if line.is_empty() {
            continue;
        }
        let (declared, rest) = line.split_once(" [[").ok_or_else(|| format!("`{line}`"))?;
        values.push(value(declared, rest.trim_end_matches("]]"))?);
    }
    // Variables of the workgroup lie in the engine's memory, one behind the other; the line stays a
    // line, so that messages name those of the text.
    let mut moved = String::new();
    let mut bytes = String::from("0");
    for line in body.lines() {
        match line.trim_start().strip_prefix("threadgroup ").and_then(|l| l.strip_suffix(';')) {
            Some(variable) => {
                let (ty, name) = variable.split_once(' ').ok_or_else(|| format!("`{line}`"))?;
                moved += &format!("{ty}& {name} = *({ty}*)(drift_memory + {bytes});\n");
                bytes += &format!(" + (sizeof({ty}) + 63) / 64 * 64");
            }
            None => {
                moved += line;
                moved.push('\n');
            }
        }
    }
    let meets = text.contains("_barrier(") || text.contains("simd_") || text.contains("simdgroup_");
    let separator = if values.is_empty() { "" } else { "\n, " };
    Ok(format!(
        "namespace k{i} {{\n#line 1 \"kernel {i}\"\n\
         {before}{head}{arguments}{separator}char* drift_memory) {{\n{moved}\
         static void invoke(const drift::Arguments &a, const drift::Lane &l) {{\n\
         (void)l;\n{entry}({}{}a.workgroup_memory);\n}}\n\
         constexpr drift::Kernel table = {{\"{entry}\", invoke, {bytes}, {meets}}};\n}}\n",
        values.join(", "),
        if values.is_empty() { "" } else { ", " },
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "struct type_1 {\n    float inner[4];\n};\nkernel void kernel_main(\n  \
        metal::uint3 global_id [[thread_position_in_grid]]\n, device type_1 const& x [[buffer(0)]]\n\
        ) {\n    threadgroup type_1 tile;\n    tile.inner[0] = 1.0;\n}\n";

    #[test]
    fn arguments_are_found_and_workgroup_variables_moved() {
        let text = batch(&[(TEXT, "kernel_main")]).unwrap();
        for part in [
            "kernel_main(l.global, drift::buffer<type_1>(a, 0), a.workgroup_memory);",
            "type_1& tile = *(type_1*)(drift_memory + 0);",
            "invoke, 0 + (sizeof(type_1) + 63) / 64 * 64, false}",
        ] {
            assert!(text.contains(part), "{part}\n{text}");
        }
    }

    #[test]
    fn what_is_unknown_is_named() {
        let strange = TEXT.replace("thread_position_in_grid", "grid_origin");
        let error = batch(&[(&strange, "kernel_main")]).unwrap_err();
        assert!(error.contains("[[grid_origin]]"), "{error}");
        let error = batch(&[(TEXT, "other")]).unwrap_err();
        assert!(error.contains("no `kernel void other(`"), "{error}");
    }
}
