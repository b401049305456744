// kernel `chained`: Wgsl has no fence between workgroups; compile with `--disable chain`
