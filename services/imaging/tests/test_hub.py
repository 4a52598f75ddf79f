"""Events reach those who watch, in order, and nobody can hold up the one who tells."""

import asyncio
import threading
import time

from nixel.imaging.hub import Hub


def test_watchers_hear_what_is_published_from_another_thread():
    async def scenario():
        hub = Hub()
        with hub.watch() as one, hub.watch() as two:
            thread = threading.Thread(target=lambda: [hub.publish("run", {"n": n}) for n in range(5)])
            thread.start()
            heard = [[(await queue.get()).data["n"] for _ in range(5)] for queue in (one, two)]
            thread.join()
        return heard

    assert asyncio.run(scenario()) == [list(range(5))] * 2


def test_a_watcher_that_does_not_keep_up_loses_the_oldest():
    async def scenario():
        hub = Hub(capacity=3)
        with hub.watch() as queue:
            for n in range(10):
                hub.publish("run", {"n": n})
            await asyncio.sleep(0)
            return [queue.get_nowait().data["n"] for _ in range(queue.qsize())]

    assert asyncio.run(scenario()) == [7, 8, 9]


def test_who_has_left_hears_nothing_and_costs_nothing():
    async def scenario():
        hub = Hub()
        with hub.watch() as queue:
            pass
        hub.publish("run", {})
        await asyncio.sleep(0)
        return queue.qsize()

    assert asyncio.run(scenario()) == 0


def test_an_event_loop_that_has_ended_does_not_stop_the_publisher():
    hub = Hub()

    async def watch_and_vanish():
        # Never leaves the block in an orderly way: its loop is closed under it.
        hub.watch().__enter__()

    asyncio.run(watch_and_vanish())
    begun = time.monotonic()
    hub.publish("run", {})
    hub.publish("run", {})
    assert time.monotonic() - begun < 1
