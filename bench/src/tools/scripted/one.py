from locust import FastHttpUser, task


class User(FastHttpUser):
    @task
    def page(self):
        self.client.get("/p/1")
