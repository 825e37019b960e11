"""Scripts as people write them over `BaseManager`, with nothing but the standard library.

Run as `python -I -S scripts.py NAME PORT KEY_IN_HEX [WORDS...]`: each NAME is one side of a pattern
that is often found in public scripts, written anew. Not a test, and it imports nothing of ours;
from Python 3.8 on.
"""

import queue
import sys
import threading
import time
from multiprocessing import Process
from multiprocessing.managers import BaseManager


def connected(*names):
    """A manager as a script makes one, with the names that it uses."""

    class QueueManager(BaseManager):
        pass

    for name in names:
        QueueManager.register(name)
    manager = QueueManager(address=("127.0.0.1", PORT), authkey=KEY)
    manager.connect()
    return manager


# --- a crawler: pages lead to pages, an agreed text ends the nodes ---

LINKS = {n: [m for m in (2 * n, 2 * n + 1) if m < 32] for n in range(1, 32)}


def crawl_control(nodes):
    manager = connected("get_task_url_queue", "get_feedback_queue")
    urls, feedback = manager.get_task_url_queue(), manager.get_feedback_queue()
    seen, open_urls = {1}, 1
    urls.put("/1")
    pages = []
    while open_urls:
        found = feedback.get(timeout=20)
        pages.append(found["page"])
        open_urls -= 1
        for n in found["links"]:
            if n not in seen:
                seen.add(n)
                open_urls += 1
                urls.put(f"/{n}")
    for _ in range(int(nodes)):
        urls.put("end")
    goodbyes = [feedback.get(timeout=20) for _ in range(int(nodes))]
    assert goodbyes == [{"page": "end", "links": []}] * int(nodes), goodbyes
    print("pages", len(pages), len(set(pages)))


def crawl_node():
    manager = connected("get_task_url_queue", "get_feedback_queue")
    urls, feedback = manager.get_task_url_queue(), manager.get_feedback_queue()
    while True:
        if urls.empty():
            time.sleep(0.01)
            continue
        url = urls.get()
        if url == "end":
            feedback.put({"page": "end", "links": []})
            return
        n = int(url[1:])
        feedback.put({"page": url, "links": LINKS[n]})


# --- a farm of factorizers: chunks of numbers, processes with a manager each, numbers counted ---


def factors(n):
    found, d = [], 2
    while d * d <= n:
        while n % d == 0:
            found.append(d)
            n //= d
        d += 1
    return found + [n] * (n > 1)


def farm_server():
    manager = connected("get_job_q", "get_result_q")
    jobs, results = manager.get_job_q(), manager.get_result_q()
    numbers = list(range(1000, 1999))
    for at in range(0, len(numbers), 43):
        jobs.put(numbers[at : at + 43])
    print("put", flush=True)
    found, count = {}, 0
    while count < len(numbers):
        part = results.get()
        found.update(part)
        count += len(part)
    assert count == len(found), "a chunk came twice"
    assert all(found[n] == factors(n) for n in numbers)
    print("factored", len(found))


def farm_process():
    manager = connected("get_job_q", "get_result_q")
    jobs, results = manager.get_job_q(), manager.get_result_q()
    while True:
        try:
            chunk = jobs.get_nowait()
        except queue.Empty:
            return
        results.put({n: factors(n) for n in chunk})


def farm_client():
    processes = [Process(target=farm_process) for _ in range(3)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
        assert process.exitcode == 0


# --- renderers: each takes as many frames as it has place for, then returns as many ---


def render_boss():
    manager = connected("task_queue", "result_queue")
    frames, images = manager.task_queue(), manager.result_queue()
    for n in range(50):
        frames.put({"frame": n})
    frames.join()
    found = []
    while not images.empty():
        found.append(images.get())
    assert sorted(found) == [(n, f"image of {n}") for n in range(50)], found
    print("rendered", len(found))


def render_node(places):
    manager = connected("task_queue", "result_queue")
    frames, images = manager.task_queue(), manager.result_queue()
    while True:
        batch = []
        try:
            while len(batch) < int(places):
                batch.append(frames.get(timeout=0.5)["frame"])
        except queue.Empty:
            if not batch:
                return
        for n in batch:
            images.put((n, f"image of {n}"))


# --- threads on one manager: task_done, a None for each, join ---


def threads_boss(count):
    manager = connected("GetTaskQueue", "GetResultQueue")
    tasks, results = manager.GetTaskQueue(), manager.GetResultQueue()
    for n in range(40):
        tasks.put(n)
    for _ in range(int(count)):
        tasks.put(None)
    tasks.join()
    found = sorted(results.get_nowait() for _ in range(40))
    assert found == [-n for n in reversed(range(40))], found
    assert (results.empty(), tasks.empty(), tasks.qsize()) == (True, True, 0)
    print("joined")


def threads_worker(count):
    manager = connected("GetTaskQueue", "GetResultQueue")
    tasks, results = manager.GetTaskQueue(), manager.GetResultQueue()

    def work():
        while True:
            n = tasks.get()
            if n is None:
                tasks.task_done()
                return
            results.put(-n)
            tasks.task_done()

    threads = [threading.Thread(target=work) for _ in range(int(count))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


# --- one None that each worker puts back for the next ---


def pill_boss():
    manager = connected("get_tasks", "get_results")
    tasks, results = manager.get_tasks(), manager.get_results()
    for n in range(20):
        tasks.put(n)
    found = [results.get(timeout=20) for _ in range(20)]
    assert sorted(found) == [n + 1 for n in range(20)]
    tasks.put(None)
    print("counted", len(found))


def pill_worker():
    manager = connected("get_tasks", "get_results")
    tasks, results = manager.get_tasks(), manager.get_results()
    for n in iter(tasks.get, None):
        results.put(n + 1)
    tasks.put(None)


# --- jobs in portions: the next ten when the ten before were taken ---


def portions_boss():
    manager = connected("get_dispatched_job_queue", "get_finished_job_queue")
    dispatched, finished = manager.get_dispatched_job_queue(), manager.get_finished_job_queue()
    jobs, done = 0, []
    for _ in range(3):
        for _ in range(10):
            jobs += 1
            dispatched.put(jobs)
        while not dispatched.empty():
            done.append(finished.get(60))
    while len(done) < jobs:
        done.append(finished.get(60))
    assert sorted(done) == list(range(1, jobs + 1)), done
    print("finished", len(done))


def portions_worker():
    manager = connected("get_dispatched_job_queue", "get_finished_job_queue")
    dispatched, finished = manager.get_dispatched_job_queue(), manager.get_finished_job_queue()
    while True:
        try:
            job = dispatched.get(timeout=2)
        except queue.Empty:
            return
        finished.put(job)


# --- a log: nobody puts a result, and who reads works until the queue stays empty ---


def log_boss():
    tasks = connected("get_work_queue").get_work_queue()
    for n in range(30):
        tasks.put(f"line {n}")
    while tasks.qsize() > 0:
        time.sleep(0.01)
    tasks.join()
    print("logged")


def log_worker():
    tasks = connected("get_work_queue").get_work_queue()
    while True:
        try:
            print(tasks.get(timeout=1))
        except queue.Empty:
            return


if __name__ == "__main__":
    PORT, KEY = int(sys.argv[2]), bytes.fromhex(sys.argv[3])
    globals()[sys.argv[1]](*sys.argv[4:])
