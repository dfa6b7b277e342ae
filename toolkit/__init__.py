"""Which tools, personas and graphs exist, and the planner that chooses among them."""
