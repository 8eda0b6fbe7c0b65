"""The stdio MCP server: tools, jobs, results. Never imports torch or mlx."""
