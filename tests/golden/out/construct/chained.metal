// kernel `chained`: Msl has no workgroups that wait for each other (`y`); compile with `--disable chain`
