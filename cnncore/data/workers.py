"""Work done ahead by threads, handed out in order."""

import os
import threading


def ordered_map(function, tasks, workers, ahead):
    """Yield ``function(task)`` of each task, in the order of the tasks, computed by threads.

    At most `ahead` results exist or are being made at a time beyond the one that was yielded last, so memory is bounded
    however slow the consumer is. An exception of `function` is raised in the consumer when its turn comes. When the
    generator ends, fails, is closed or is forgotten, the threads end, after the task that each is at.

    Parameters
    ----------
    function : callable
        Called by several threads at once.
    tasks : iterable
        Walked by one thread at a time, no further than needed.
    workers : int
        Number of threads; 0: `function` is called by the consumer, and nothing is done ahead.
    ahead : int
        At least 1.
    """
    if workers == 0:
        yield from map(function, tasks)
        return
    shared = _Shared(tasks, ahead)
    # Daemons, so that a generator that is never closed does not keep the interpreter from ending.
    threads = [
        threading.Thread(target=_work, args=(shared, function), name=f"cnncore-data-{i}", daemon=True)
        for i in range(workers)
    ]
    started = []
    try:
        for thread in threads:
            thread.start()
            started.append(thread)
        while True:
            present, result, error = shared.next_outcome()
            if not present:
                return
            if error is not None:
                try:
                    raise error
                finally:
                    error = None  # the error's traceback holds this frame
            yield result
            result = None  # not kept alive while the next one is waited for
    finally:
        if shared.pid == os.getpid():  # in a forked child there are neither threads nor anyone to give the lock back
            shared.stop()
            for thread in started:
                if thread is not threading.current_thread():  # a worker may be the one that collects the generator
                    thread.join()


class _Shared:
    """What the consumer and the workers have in common; everything is guarded by the one lock of both conditions."""

    def __init__(self, tasks, ahead):
        self.pid = os.getpid()
        lock = threading.Lock()
        self._ready, self._room = threading.Condition(lock), threading.Condition(lock)
        self._tasks, self._ahead = iter(tasks), ahead
        self._outcomes = {}  # number of the task -> (result, error)
        self._taken = self._used = 0  # tasks begun, results handed out
        self._finished = self._stopped = False

    def next_task(self):
        """(number, task), or None at the end; waits for room."""
        with self._room:
            while not (self._stopped or self._finished) and self._taken - self._used >= self._ahead:
                self._room.wait()
            if self._stopped or self._finished:
                return None
            number = self._taken
            try:
                task = next(self._tasks)
            except BaseException as error:
                self._finished = True
                if not isinstance(error, StopIteration):
                    self._outcomes[number] = None, error
                    self._taken += 1
                self._ready.notify_all()
                self._room.notify_all()
                return None
            self._taken += 1
            return number, task

    def put(self, number, result, error):
        with self._ready:
            if not self._stopped:
                self._outcomes[number] = result, error
                self._ready.notify_all()

    def next_outcome(self):
        """(True, result, error) of the next task in order, or (False, None, None) at the end."""
        if os.getpid() != self.pid:
            raise RuntimeError(
                "cnncore.data: an iteration that was begun before a fork must not be continued in the "
                "child; iterate over the loader anew there"
            )
        with self._ready:
            while self._used not in self._outcomes:
                if self._finished and self._used == self._taken:
                    return False, None, None
                self._ready.wait()
            result, error = self._outcomes.pop(self._used)
            self._used += 1
            self._room.notify()
            return True, result, error

    def stop(self):
        with self._ready:
            self._stopped = True
            self._outcomes.clear()
            self._room.notify_all()


def _work(shared, function):
    while (item := shared.next_task()) is not None:
        number, task = item
        try:
            result, error = function(task), None
        except BaseException as raised:  # whatever it is, the consumer shall see it
            result, error = None, raised
        shared.put(number, result, error)
        item = task = result = error = None  # nothing is kept alive while waiting
