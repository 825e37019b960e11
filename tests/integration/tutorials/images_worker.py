# coding:utf-8

import time
from multiprocessing.managers import BaseManager


# 创建类似的 QueueManager
class QueueManager(BaseManager):
    pass


if __name__ == '__main__':
    # 第一步： 使用 QueueManager 注册用于获取 Queue 的方法名称
    QueueManager.register('getTaskQueue')
    QueueManager.register('getResultQueue')

    # 第二步： 连接到服务器
    serverAddr = '127.0.0.1'
    print('Connect to server %s ...' % serverAddr)
    # 端口和验证口令注意保持与服务进程完全一致
    m = QueueManager(address=(serverAddr, 8001), authkey='痛点就是起点')
    m.connect()

    # 第三步： 获取 Queue 对象
    task = m.getTaskQueue()
    result = m.getResultQueue()

    # 第四步： 从 task 队列获取任务，并把结果写入到 result 队列
    while(not task.empty()):
        imageUrl = task.get(True, timeout=5)
        print('run task download %s ...' % imageUrl)
        time.sleep(1)
        result.put('%s ---> success' % imageUrl)

    # 处理结束
    print('worker exit.')
