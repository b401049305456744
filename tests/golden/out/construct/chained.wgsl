// kernel `chained`: Wgsl has no workgroups that wait for each other (`y`); compile with `--disable chain`
