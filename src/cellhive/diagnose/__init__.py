"""Is a counter trustworthy, and when did a network misbehave?"""
