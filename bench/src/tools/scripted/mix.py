from itertools import cycle
from locust import FastHttpUser, task

turn = cycle([f"/p/{page}" for page in range(1, 11) for _ in range(page, 11)])


class User(FastHttpUser):
    @task
    def page(self):
        self.client.get(next(turn))
