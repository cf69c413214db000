"""Which mitigation method on which backend: each method's bias and variance in closed form, and the recommender on top of it."""
