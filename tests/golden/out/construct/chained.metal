// kernel `chained`: Msl has no fence between workgroups; compile with `--disable chain`
