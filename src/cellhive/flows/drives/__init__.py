"""Drive-test logs as an engineer looks at them: where the phone was, and what it received."""
