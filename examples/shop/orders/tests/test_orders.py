import tempfile
import unittest

from orders import OrderBook


class OrderBookTests(unittest.TestCase):
    def test_orders_outlive_the_program(self):
        with tempfile.TemporaryDirectory() as folder:
            OrderBook(folder).add(1, 2)
            self.assertEqual(OrderBook(folder).count(), 1)

    def test_refuses_orders_that_make_no_sense(self):
        with tempfile.TemporaryDirectory() as folder:
            book = OrderBook(folder)
            for product, quantity in [("tea", 1), (1, 0), (1, None)]:
                with self.assertRaises(ValueError):
                    book.add(product, quantity)
            self.assertEqual(book.count(), 0)


if __name__ == "__main__":
    unittest.main()
