from locust import FastHttpUser, task


class User(FastHttpUser):
    @task
    def login(self):
        token = self.client.get("/ping").json()["message"]
        headers = {"Authorization": f"Bearer {token}"}
        with self.client.get("/", headers=headers, catch_response=True) as answer:
            if b"Hello" not in answer.content:
                answer.failure("no hello")
