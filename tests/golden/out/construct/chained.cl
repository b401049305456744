// kernel `chained`: OpenClC has no fence between workgroups (OpenCL C 1.2); compile with `--disable chain`
