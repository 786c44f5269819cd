from csv import DictReader
from itertools import cycle
from locust import FastHttpUser, task

with open("SCRATCH/rows.csv") as file:
    turn = cycle(list(DictReader(file)))


class User(FastHttpUser):
    @task
    def row(self):
        row = next(turn)
        headers = {"X-User": row["name"]}
        # One name for all, lest each address be a row of its own statistics.
        self.client.get(f"/users/{row['id']}", headers=headers, name="user")
