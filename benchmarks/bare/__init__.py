"""The bare parts that figures are held against: each does the least that the job needs, with nothing of the product."""
