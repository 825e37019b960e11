# coding:utf-8

import random, time, Queue
from multiprocessing.managers import BaseManager

# 第一步： 建立 taskQueue 和 resultQueue ，用了存放任务和结果
taskQueue = Queue.Queue()
resultQueue = Queue.Queue()


class QueueManager(BaseManager):
    pass


if __name__ == '__main__':
    # 第二步： 把创建的两个队列注册在网络上，利用 register 方法，callable 参数关联了 Queue 对象
    # 将 Queue 对象在网络上暴露
    QueueManager.register('getTaskQueue', callable=lambda:taskQueue)
    QueueManager.register('getResultQueue', callable=lambda:resultQueue)

    # 第三步： 绑定端口 8001，设置验证口令'痛点就是起点'（这个相当于对象的初始化）
    manager = QueueManager(address=('', 8001), authkey='痛点就是起点')

    # 启动管理，监听信息通道
    manager.start()

    # 第四步： 通过管理实例的方法获得通过网络访问的 Queue 对象
    task = manager.getTaskQueue()
    result = manager.getResultQueue()

    # 第五步： 添加任务
    for url in ['ImageUrl_' + str(i) for i in range(10)]:
        print('put task %s ...' % url)
        task.put(url)

    # 获取返回的结果
    print('try get result ...')
    for i in range(10):
        print('result is %s' % result.get(timeout=10))

    # 关闭管理
    manager.shutdown()
